// The filter as rows of field, operator and value; Python makes the string of them, and reads it back.

const rowsText = (rows) => JSON.stringify(rows.map((each) => [each.field, each.op, each.value || "", each.upto || ""]));

function filterForm(form, changed) {
  const rows = el("div", { className: "rows" });
  const named = new Map(form.fields.map((each) => [each.name, each]));
  const add = el("button", { type: "button", onclick: () => { append({ field: form.fields[0].name }); focusLast(); } }, "Add a condition");
  const root = el("div", { className: "filter" }, rows, add);
  const current = [];

  function focusLast() {
    rows.lastElementChild?.querySelector("select")?.focus();
  }

  function append(row) {
    const own = { field: row.field, op: row.op || "", value: row.value || "", upto: row.upto || "" };
    const line = el("div", { className: "row", role: "group", "aria-label": "condition" });
    current.push(own);
    fill(own, line);
    rows.append(line);
  }

  function fill(own, line) {
    const field = named.get(own.field) || form.fields[0];
    own.field = field.name;
    const ops = form.operators[field.type];
    if (!ops.some(([name]) => name === own.op)) own.op = ops[0][0];
    const names = select(form.fields.map((each) => [each.name, `${each.name} (${each.type})`]), own.field, (event) => {
      Object.assign(own, { field: event.target.value, op: "", value: "", upto: "" });
      fill(own, line);
      line.querySelector("select").focus();
      changed();
    });
    names.setAttribute("aria-label", "field");
    const op = select(ops, own.op, (event) => {
      own.op = event.target.value;
      fill(own, line);
      line.querySelectorAll("select")[1].focus();
      changed();
    });
    op.setAttribute("aria-label", "operator");
    const remove = el("button", { type: "button", "aria-label": `remove the condition on ${own.field}`, onclick: () => {
      current.splice(current.indexOf(own), 1);
      line.remove();
      add.focus();
      changed();
    } }, "✕");
    line.replaceChildren(names, op, ...values(own, field), remove);
  }

  function values(own, field) {
    if (own.op === "has" || own.op === "lacks") return [];
    if (field.type === "boolean") {
      own.value ||= "true";
      const choice = select([["true", "true"], ["false", "false"]], own.value, (event) => { own.value = event.target.value; changed(); });
      choice.setAttribute("aria-label", "value");
      return [choice];
    }
    if (own.op === "between") return [input(own, "value", field, "from", field.least), input(own, "upto", field, "to", field.most)];
    const hint = own.op === "in" || own.op === "not in" ? "values, with commas" : field.least ? `${field.least} … ${field.most}` : "";
    const parts = [input(own, "value", field, "value", hint)];
    if (field.values.length) {
      const list = el("datalist", { id: unique("values") });
      for (const [value, documents] of field.values) list.append(el("option", { value }, `${documents} documents`));
      parts[0].setAttribute("list", list.id);
      parts.push(list);
      if (field.type === "string" || field.type === "list") parts.push(frequent(own, field, parts[0]));
    }
    return parts;
  }

  // The most frequent values as buttons: one key press instead of typing.
  function frequent(own, field, control) {
    const several = own.op === "in" || own.op === "not in";
    const chips = field.values.slice(0, 4).map(([value, documents]) => el("button", {
      type: "button", className: "chip", "aria-label": `${value}, ${documents} documents`, onclick: () => {
        const known = several ? own.value.split(",").map((each) => each.trim()).filter(Boolean) : [];
        own.value = several ? [...new Set([...known, value])].join(", ") : value;
        control.value = own.value;
        changed();
      } }, el("bdi", {}, value), el("span", {}, String(documents))));
    return el("span", { className: "frequent" }, ...chips);
  }

  function input(own, name, field, label, hint) {
    const type = field.type === "date" ? "date" : "text";
    return el("input", {
      type, value: own[name], placeholder: hint || "", "aria-label": label, size: field.type === "string" || field.type === "list" ? 18 : 9,
      inputMode: field.type === "number" ? "decimal" : "text", oninput: (event) => { own[name] = event.target.value; changed(); },
    });
  }

  return {
    root,
    rows: () => current.map((each) => ({ ...each })),
    // The rows of a string. Where the form holds them already, conditions without a value yet stay, and the focus.
    set(list) {
      const finished = current.filter((each) => each.op === "has" || each.op === "lacks" || each.value.trim() || each.upto.trim());
      if (rowsText(finished) === rowsText(list)) return;
      current.length = 0;
      rows.replaceChildren();
      list.forEach(append);
    },
  };
}
