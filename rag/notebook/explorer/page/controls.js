// The settings of one side, and what they are as a message.

function controls(form, settings, rows, look) {
  const soon = debounced(look, 150);
  let byForm = false;
  const filter = filterForm(form, () => { byForm = true; soon(false); });
  filter.set(rows || []);
  const where = el("input", { type: "text", value: settings.where || "", spellcheck: false, autocomplete: "off", className: "where",
    placeholder: "year >= 2024 and status == 'current'", oninput: () => { byForm = false; soon(false); } });
  const error = el("p", { className: "bad error", hidden: true });
  error.id = unique("error");
  where.setAttribute("aria-describedby", error.id);
  const matches = el("span", { className: "dim matches" });
  const number = (value, least, hint) => el("input", { type: "number", value: value ?? "", min: least, placeholder: hint, oninput: () => soon(false) });
  const k = number(settings.k, 1, "by budget");
  const budget = number(settings.budget, 1, String(form.budget ?? ""));
  const mode = select([["hybrid", "hybrid"], ["dense", "dense"], ["lexical", "lexical"]], settings.mode, () => soon(false));
  const unit = select([["chars", "characters"], ["tokens", "tokens"]], form.unit, () => soon(false));
  const shown = el("output", {}, "");
  const weight = el("input", { type: "range", min: 0, max: 4, step: 0.1, value: settings.lexical_weight ?? form.weight ?? 1,
    oninput: () => { say(); soon(false); } });
  const rerank = el("input", { type: "checkbox", checked: settings.rerank, onchange: () => soon(false) });
  const say = () => { shown.textContent = Number(weight.value).toFixed(1); };
  say();
  const limits = form.budget === null ? [] : [labelled("budget", budget, "the most that the context may hold"), labelled("unit", unit)];
  const line = el("div", { className: "line" },
    labelled("k", k, "how many passages are retrieved; empty: as many as the budget needs"),
    form.modes ? labelled("mode", mode) : null, ...limits,
    form.weight === null ? null : el("label", { className: "field" }, el("span", {}, "words’ weight ", shown), weight),
    form.reranker === null ? null : el("label", { className: "tick" }, rerank, `rerank by ${form.reranker}`));
  const root = el("div", { className: "controls" },
    fold("Filter", el("div", {}, filter.root, el("div", { className: "line" }, labelled("as a string (where)", where), matches), error),
      (rows || []).length > 0 || !!settings.where, "filters"), line);
  const whole = (control) => (control.value.trim() === "" ? null : Math.max(1, Math.round(Number(control.value)) || 1));

  return {
    root,
    settings(question) {
      const budgeted = whole(budget);
      return {
        question, where: byForm ? "" : where.value, rows: byForm ? filter.rows() : null, k: whole(k), mode: mode.value,
        budget: budgeted ?? (unit.value === form.unit ? null : form.budget), unit: unit.value,
        lexical_weight: form.weight === null || Number(weight.value) === form.weight ? null : Number(weight.value),
        rerank: form.reranker === null ? true : rerank.checked,
      };
    },
    filtered(reply) {
      error.hidden = true;
      where.removeAttribute("aria-invalid");
      matches.textContent = `${reply.matches.toLocaleString("en")} of ${reply.of.toLocaleString("en")} chunks match`;
      if (reply.form) where.value = reply.where;
      else if (reply.rows && !byForm) filter.set(reply.rows); // what was changed meanwhile stays
      root.querySelector(".filters > summary").textContent = reply.where ? "Filter: on" : "Filter";
      filter.root.classList.toggle("off", reply.rows === null && !reply.form);
    },
    wrong(text) {
      error.textContent = text;
      error.hidden = false;
      where.setAttribute("aria-invalid", "true");
      matches.textContent = "";
    },
    current: () => ({ settings: { where: where.value, k: whole(k), mode: mode.value, budget: whole(budget),
      lexical_weight: Number(weight.value), rerank: rerank.checked }, rows: filter.rows(), unit: unit.value }),
    copy(other) {
      const { settings: theirs, rows: list, unit: theirUnit } = other.current();
      where.value = theirs.where;
      filter.set(list);
      k.value = theirs.k ?? "";
      budget.value = theirs.budget ?? "";
      mode.value = theirs.mode;
      unit.value = theirUnit;
      weight.value = theirs.lexical_weight;
      rerank.checked = theirs.rerank;
      say();
    },
  };
}
