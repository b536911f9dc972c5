// One side: its controls and its results. `send` gives a message to Python; `receive` shows a reply.

function side(name, form, settings, rows, question, send) {
  let serial = 0;
  let shown = -1; // the serial of the results that can be seen
  const look = (pay) => {
    serial += 1;
    root.setAttribute("aria-busy", "true");
    send({ do: "look", side: name, serial, settings: own.settings(question()), pay });
  };
  const own = controls(form, settings, rows, look);
  const status = el("p", { className: "dim status", role: "status" });
  const problem = el("p", { className: "bad problem", role: "alert", hidden: true });
  const answer = el("div", { className: "answer-part" });
  const hits = el("div", { className: "hits-part" });
  const context = el("div", { className: "context-part" });
  const told = el("div", { className: "why-part", tabIndex: -1 });
  const ask = el("button", { type: "button", className: "ask", hidden: true, onclick: () => {
    ask.disabled = true;
    send({ do: "ask", side: name, serial: shown });
  } });
  const unpriced = el("p", { className: "dim", hidden: true });
  const pasted = el("textarea", { rows: 2, placeholder: "words of the passage, its file, or file:start-end" });
  const explain = (message) => {
    told.textContent = "looking …";
    send({ do: "why", side: name, serial: shown, ...message });
  };
  const why = fold("Why not this passage?", el("div", {}, labelled("a passage that is missing", pasted),
    el("button", { type: "button", onclick: () => explain({ text: pasted.value }) }, "Explain"), told), false, "whys");
  const added = el("span", { className: "dim", role: "status" });
  const golden = form.golden === null ? null : el("p", { className: "golden" },
    el("button", { type: "button", onclick: () => send({ do: "golden", side: name, serial: shown, evidence: evidence() }) },
      "Add to golden set"), el("span", { className: "dim" }, ` ${form.golden}, as a draft: ticked hits, else the citations. `), added);

  // Words of a ticked hit that are selected stand for the whole of it.
  function evidence() {
    const selection = document.getSelection();
    const text = selection === null ? "" : selection.toString();
    return [...hits.querySelectorAll("[data-evidence]:checked")].map((box) => {
      const item = box.closest("li");
      const within = selection?.anchorNode && item.contains(selection.anchorNode) && item.contains(selection.focusNode);
      return { rank: Number(box.dataset.evidence), quote: within ? text.trim() : "" };
    });
  }

  hits.addEventListener("click", (event) => {
    const button = event.target.closest("[data-why]");
    if (button) {
      why.open = true;
      explain({ rank: Number(button.dataset.why) });
      told.focus();
    }
  });

  function marks(kind, texts) {
    for (const item of hits.querySelectorAll("li[data-rank]")) {
      const mark = item.querySelector(`.${kind}`);
      const text = texts[Number(item.dataset.rank) - 1] || "";
      mark.textContent = text;
      mark.hidden = !text;
      mark.classList.toggle("only", text.startsWith("only"));
      mark.classList.toggle("kept", text.startsWith("kept"));
    }
  }

  const root = el("section", { className: "side", "aria-label": `settings and results ${name}` },
    el("h3", { className: "side-name", hidden: true }, name), own.root, status, problem,
    fold("Answer", el("div", {}, answer, ask, unpriced), true), fold("Hits", hits, true), fold("Context", context),
    golden ?? "", why);

  function settled() {
    root.setAttribute("aria-busy", "false");
    root.classList.remove("stale");
  }

  const receivers = {
    filter: (reply) => own.filtered(reply),
    empty() {
      settled();
      for (const part of [answer, hits, context]) part.replaceChildren();
      status.textContent = "Type a question.";
    },
    hits(reply) {
      shown = reply.serial;
      settled();
      show(hits, reply.html);
      status.textContent = reply.text;
      answer.classList.add("old");
      ask.hidden = unpriced.hidden = true;
      told.replaceChildren();
      added.textContent = "";
    },
    context(reply) {
      show(context, reply.html);
      marks("fate", reply.fates);
      send({ do: "answer", side: name, serial: shown });
    },
    answer(reply) {
      answer.classList.remove("old");
      ask.disabled = false;
      show(answer, reply.html);
    },
    price(reply) {
      ask.textContent = reply.text;
      ask.hidden = !reply.text;
      unpriced.textContent = reply.why;
      unpriced.hidden = !reply.why;
    },
    pay(reply) {
      settled();
      status.textContent = reply.text;
    },
    why(reply) { show(told, reply.html); },
    golden(reply) { added.textContent = reply.text; },
    error(reply) {
      settled();
      ask.disabled = false;
      if (reply.part === "why") told.textContent = reply.text;
      else if (reply.part === "golden") added.textContent = reply.text;
      else if (reply.part === "look" && own.settings(question()).where + (own.settings(question()).rows || []).length) {
        root.classList.add("stale");
        own.wrong(reply.text);
      } else {
        problem.textContent = reply.text;
        problem.hidden = false;
      }
    },
  };

  return {
    root, look, own,
    named(on) { root.querySelector(".side-name").hidden = !on; },
    receive(reply) {
      if (["filter", "hits", "context", "empty", "pay"].includes(reply.kind) && reply.serial < serial) return; // overtaken
      if (["answer", "price", "why", "golden"].includes(reply.kind) && reply.serial !== shown) return;
      if (reply.kind !== "error") problem.hidden = true;
      receivers[reply.kind]?.(reply);
    },
    different: (texts) => marks("other", texts),
  };
}
