// The map: canvas, legend, question, and what is selected.

function render({ model, el: place }) {
  const root = el("div", { className: "rag explorer map tex2jax_ignore mathjax_ignore", role: "group" });
  keysStay(root);
  root.setAttribute("aria-label", "map of an index");
  place.append(root);
  const send = (message) => model.send(message);
  let parts = null;
  const receive = (reply, buffers) => {
    if (reply.kind === "points") { if (!parts) parts = build(root, reply, buffers, send); }
    else parts?.[reply.kind]?.(reply);
  };
  model.on("msg:custom", receive);
  send({ do: "hello" });
  return () => {
    model.off("msg:custom", receive);
    parts?.close();
  };
}

function numbers(buffer, kind) {
  const bytes = buffer instanceof DataView ? buffer : new DataView(buffer);
  return new kind(bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.byteLength));
}

function build(root, form, buffers, send) {
  const xy = numbers(buffers[0], Float32Array);
  const codes = numbers(buffers[1], Uint8Array);
  const nearest = grid(xy, form.least, form.most);
  const view = viewOf(form.least, form.most);
  const state = { bright: null, question: null, hits: [], lasso: null, pointed: -1 };
  const base = el("canvas", { className: "points" });
  const top = el("canvas", { className: "marks", tabIndex: 0, role: "img" });
  top.setAttribute("aria-label", `${form.about}, a point each. Arrow keys move, plus and minus zoom, Enter selects what can be seen, Escape selects nothing.`);
  const tip = el("div", { className: "tip", hidden: true });
  const read = el("p", { className: "away", role: "status" });
  const frame = el("div", { className: "frame" }, base, top, tip);
  const question = el("input", { type: "search", value: form.question, className: "question", placeholder: "a question: its hits are ringed" });
  const asked = el("span", { className: "dim", role: "status" });
  const ask = () => send({ do: "ask", question: question.value });
  question.addEventListener("keydown", (event) => { if (event.key === "Enter" && !event.isComposing) ask(); });
  const lasso = el("button", { type: "button", "aria-pressed": "false", onclick: () => {
    lasso.setAttribute("aria-pressed", String(lasso.getAttribute("aria-pressed") !== "true"));
  } }, "Lasso");
  const legend = el("ul", { className: "legend" });
  form.legend.forEach(([name, count], code) => legend.append(el("li", {}, el("button", { type: "button",
    "aria-label": `select ${name}, ${count} chunks`, onclick: () => send({ do: "select", value: code }) },
  el("span", { className: `swatch c${/^(other|no value)$/.test(name) ? "x" : code}` }), el("bdi", {}, name), el("span", { className: "dim" }, count.toLocaleString("en"))))));
  const chosen = el("p", { className: "chosen", role: "status" }, "Draw a lasso (button, or Shift and drag), or choose in the legend.");
  const where = el("code", { className: "where", tabIndex: 0, role: "region", "aria-label": "filter" });
  const list = el("ol", { className: "listed", tabIndex: 0 });
  list.setAttribute("aria-label", "selected chunks");
  root.append(
    el("div", { className: "name" }, el("strong", {}, "Map"), el("bdi", {}, form.about)),
    el("div", { className: "ask-line" }, labelled("question", question), el("button", { type: "button", onclick: ask }, "Show"),
      lasso, el("button", { type: "button", onclick: () => send({ do: "select", hits: true }) }, "Select the hits"),
      el("button", { type: "button", onclick: () => { view.fit(); draw(); } }, "Whole map"), asked),
    el("div", { className: "columns" }, frame, el("div", { className: "beside" },
      el("div", { className: "label" }, form.color || "all"), legend, el("div", { className: "label" }, "selected"), chosen, where, list)), read);

  let frameAsked = 0;
  const draw = () => { if (!frameAsked) frameAsked = requestAnimationFrame(() => { frameAsked = 0; paint(); }); };

  function paint() {
    const colours = [...legend.querySelectorAll(".swatch")].map((each) => pixelOf(getComputedStyle(each).backgroundColor));
    drawPoints(base, view, xy, codes, colours, state.bright);
    marks();
  }

  function marks() {
    const context = top.getContext("2d");
    const ratio = top.width / view.width;
    const ink = getComputedStyle(root).color;
    const accent = getComputedStyle(root.querySelector(".label")).borderColor;
    context.setTransform(ratio, 0, 0, ratio, 0, 0);
    context.clearRect(0, 0, view.width, view.height);
    const circle = (x, y, size, colour, width) => {
      context.beginPath();
      context.arc(x, y, size, 0, 7);
      context.strokeStyle = colour;
      context.lineWidth = width;
      context.stroke();
    };
    const at = (n) => view.toPixel(xy[2 * n], xy[2 * n + 1]);
    if (state.question) {
      const [x, y] = view.toPixel(...state.question);
      for (const hit of state.hits) {
        const [hx, hy] = at(hit);
        context.globalAlpha = 0.5;
        context.strokeStyle = ink;
        context.lineWidth = 1;
        context.beginPath();
        context.moveTo(x, y);
        context.lineTo(hx, hy);
        context.stroke();
        context.globalAlpha = 1;
        circle(hx, hy, 6, ink, 2);
      }
      context.fillStyle = ink;
      context.beginPath();
      for (let n = 0; n < 10; n += 1) {
        const size = n % 2 ? 4 : 10;
        context.lineTo(x + size * Math.sin((n * Math.PI) / 5), y - size * Math.cos((n * Math.PI) / 5));
      }
      context.fill();
    }
    if (state.pointed >= 0) circle(...at(state.pointed), 8, accent, 3);
    if (state.lasso) {
      context.beginPath();
      state.lasso.forEach(([x, y]) => context.lineTo(x, y));
      context.closePath();
      context.strokeStyle = ink;
      context.setLineDash([5, 4]);
      context.lineWidth = 1.5;
      context.stroke();
      context.setLineDash([]);
    }
  }

  const tell = debounced((n) => send({ do: "point", at: n }), 60);
  function pointAt(px, py) {
    const [x, y] = view.toPlane(px, py);
    const n = nearest(x, y, 9 / view.scale);
    if (n === state.pointed) return;
    state.pointed = n;
    tip.hidden = true;
    marks();
    if (n >= 0) tell(n);
  }
  pointing(top, view, {
    lassoing: () => lasso.getAttribute("aria-pressed") === "true",
    lasso(line) { state.lasso = line; tip.hidden = true; marks(); },
    moved() { tip.hidden = true; draw(); },
    point: pointAt,
    middle: () => pointAt(view.width / 2, view.height / 2),
    left() { state.pointed = -1; tip.hidden = true; marks(); },
    selected(line) {
      state.lasso = null;
      send({ do: "select", lasso: line ? line.flatMap(([x, y]) => view.toPlane(x, y)) : [] });
    },
  });

  function size() {
    const box = frame.getBoundingClientRect();
    if (!box.width) return;
    const first = view.width === 1;
    view.width = box.width;
    view.height = box.height;
    const ratio = Math.min(2, window.devicePixelRatio || 1);
    for (const canvas of [base, top]) {
      canvas.width = Math.round(box.width * ratio);
      canvas.height = Math.round(box.height * ratio);
    }
    if (first) view.fit();
    draw();
  }
  const sized = new ResizeObserver(size);
  sized.observe(frame);
  const themed = new MutationObserver(draw);
  themed.observe(document.body, { attributes: true });
  const dark = window.matchMedia("(prefers-color-scheme: dark)");
  dark.addEventListener("change", draw);

  return {
    question(reply) {
      state.question = reply.at;
      state.hits = reply.hits;
      asked.textContent = reply.text;
      draw();
    },
    point(reply) {
      if (reply.at !== state.pointed) return;
      const [x, y] = view.toPixel(xy[2 * reply.at], xy[2 * reply.at + 1]);
      tip.replaceChildren(el("bdi", { className: "place" }, reply.place), el("p", { dir: "auto" }, reply.text),
        form.color ? el("small", {}, `${form.color}: `, el("bdi", {}, reply.value)) : "");
      tip.style.left = `${Math.min(x + 14, Math.max(0, view.width - 352))}px`;
      tip.style.top = `${Math.min(y + 14, Math.max(0, view.height - 140))}px`;
      tip.hidden = false;
      read.textContent = `${reply.place}: ${reply.text}`;
    },
    selected(reply) {
      chosen.textContent = reply.count ? `${reply.count.toLocaleString("en")} chunks: m.selected${reply.where ? ", and as a filter, m.where:" : ""}` : "Nothing is selected.";
      where.textContent = reply.where || reply.why;
      where.hidden = !where.textContent;
      list.replaceChildren(...reply.listed.map((each) => el("li", { className: "item" }, el("bdi", { className: "place" }, each.place), el("div", { dir: "auto" }, each.text))));
      if (reply.count > reply.listed.length) list.append(el("li", { className: "dim" }, `… ${(reply.count - reply.listed.length).toLocaleString("en")} more: m.selected`));
      state.bright = null;
      if (reply.count && reply.rows.length) {
        state.bright = new Uint8Array(codes.length);
        for (const n of reply.rows) state.bright[n] = 1;
      }
      draw();
    },
    error(reply) { (reply.part === "ask" ? asked : chosen).textContent = reply.text; },
    close() {
      sized.disconnect();
      themed.disconnect();
      dark.removeEventListener("change", draw);
    },
  };
}
