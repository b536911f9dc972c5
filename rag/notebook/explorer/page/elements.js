// Elements and their texts. A text is always set as text: nothing that comes from a document is markup here.

let count = 0;
const unique = (name) => `rag-${name}-${(count += 1)}-${Math.random().toString(36).slice(2, 8)}`;

function el(tag, attributes = {}, ...children) {
  const out = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) out.addEventListener(name.slice(2), value);
    else if (name in out && name !== "list" && name !== "form") out[name] = value;
    else if (value !== null && value !== undefined) out.setAttribute(name, value);
  }
  out.append(...children.filter((child) => child !== null && child !== undefined));
  return out;
}

// A control below its name.
function labelled(name, control, hint = "") {
  control.id ||= unique("control");
  const label = el("label", { className: "field", htmlFor: control.id }, el("span", {}, name), control);
  if (hint) control.title = hint;
  return label;
}

function select(options, value, onchange) {
  const out = el("select", { onchange });
  for (const [each, name] of options) out.append(el("option", { value: each }, name));
  out.value = value;
  return out;
}

// A notebook's shortcuts of plain keys ("b" adds a cell, Enter edits one) are none while the focus is in here.
function keysStay(root) {
  root.addEventListener("keydown", (event) => {
    if (!event.ctrlKey && !event.metaKey && !event.altKey) event.stopPropagation();
  });
}

// HTML of rag's own displays, whose texts Python has escaped; the one place where markup is set.
function show(place, html) {
  place.innerHTML = html;
}

// Calls a function once nothing has happened for a while.
function debounced(call, milliseconds) {
  let timer = 0;
  return (...values) => {
    clearTimeout(timer);
    timer = setTimeout(() => call(...values), milliseconds);
  };
}

function fold(name, body, open = false, className = "") {
  return el("details", { open, className: `part ${className}` }, el("summary", {}, name), body);
}
