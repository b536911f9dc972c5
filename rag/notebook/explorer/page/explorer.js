// The whole: a question for both sides, and a second side to compare with.

function render({ model, el: place }) {
  const root = el("div", { className: "rag explorer tex2jax_ignore mathjax_ignore", role: "group" });
  keysStay(root);
  root.setAttribute("aria-label", "explorer of an index");
  place.append(root);
  const send = (message) => model.send(message);
  const receive = (reply) => {
    if (reply.kind === "form") return build(reply);
    if (reply.kind === "difference") return different(reply);
    sides.get(reply.side)?.receive(reply);
  };
  const sides = new Map();
  let difference = null;

  function different(reply) {
    if (difference === null || !sides.has("B")) return;
    difference.textContent = reply.text;
    difference.hidden = false;
    for (const [name, each] of sides) each.different(reply[name]);
  }

  function build(form) {
    if (root.childElementCount) return; // another view asked for the form
    const question = el("input", { type: "search", value: form.settings.question, className: "question", autocomplete: "off",
      placeholder: "What do you want to know?" });
    const all = (pay) => { for (const each of sides.values()) each.look(pay); };
    const soon = debounced(() => all(false), 150);
    question.addEventListener("input", soon);
    question.addEventListener("keydown", (event) => { if (event.key === "Enter" && !event.isComposing) all(true); });
    const both = el("div", { className: "sides" });
    const compare = el("button", { type: "button", "aria-pressed": "false", onclick: () => toggle() }, "Compare A | B");
    difference = el("p", { className: "difference", role: "status", hidden: true });
    const open = (name, settings, rows) => {
      const each = side(name, form, settings, rows, () => question.value, send);
      sides.set(name, each);
      both.append(each.root);
      return each;
    };
    function toggle() {
      const on = !sides.has("B");
      compare.setAttribute("aria-pressed", String(on));
      if (on) {
        const b = open("B", form.settings, []);
        b.own.copy(sides.get("A").own);
        b.look(false);
      } else {
        sides.get("B").root.remove();
        sides.delete("B");
        sides.get("A").different([]);
        difference.hidden = true;
        send({ do: "drop", side: "B" });
      }
      both.classList.toggle("two", on);
      for (const each of sides.values()) each.named(on);
    }
    root.append(
      el("div", { className: "name" }, el("strong", {}, "Explorer"), el("bdi", {}, form.about)),
      el("div", { className: "ask-line" }, labelled("question", question),
        el("button", { type: "button", className: "search", onclick: () => all(true) }, "Search"), compare),
      difference, both);
    open("A", form.settings, form.rows);
    all(false);
  }

  model.on("msg:custom", receive);
  send({ do: "hello" });
  return () => model.off("msg:custom", receive);
}
