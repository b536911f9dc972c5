"use strict";
// Every text of the documents is set as text, never as HTML: nothing in it can be a tag or run.
const by = (id) => document.getElementById(id);
const made = (tag, text = "", kind = "") => {
  const node = document.createElement(tag);
  node.textContent = text;
  if (kind) node.className = kind;
  return node;
};
let running = null;

function headers() {
  const key = sessionStorage.getItem("key");
  return {"content-type": "application/json", ...(key ? {authorization: `Bearer ${key}`} : {})};
}

function fail(text) {
  by("error").textContent = text;
  by("error").hidden = !text;
}

async function refused(reply) {
  let text = `the service answered ${reply.status}`;
  try { text = (await reply.json()).error.message; } catch { /* it is no JSON: the status says it */ }
  if (reply.status === 401) {
    by("key-row").hidden = false;
    by("key").focus();
    text = "This service needs an API key: enter one above.";
  }
  const wait = reply.headers.get("retry-after");
  fail(wait ? `${text} (try again in ${wait} s)` : text);
}

async function schema() {
  const reply = await fetch("v1/schema", {headers: headers()});
  if (!reply.ok) { await refused(reply); return; }
  fail("");
  const {fields} = await reply.json();
  by("fields").replaceChildren();
  for (const [name, field] of Object.entries(fields)) {
    if (!["string", "number", "boolean", "list"].includes(field.type)) continue;
    if (field.values.length < 2 || field.values.length > 40 || name.startsWith("file_")) continue;
    const label = made("label", name);
    label.htmlFor = `field-${name}`;
    const select = made("select");
    select.id = `field-${name}`;
    select.dataset.field = name;
    select.dataset.type = field.type;
    select.append(new Option("any", ""), ...field.values.map((value) => new Option(value, value)));
    const cell = made("div");
    cell.append(label, select);
    by("fields").append(cell);
  }
  by("filters").hidden = !by("fields").children.length;
}

function literal(value, type) {
  // A filter's literal: numbers and truth values as they are, all else as a string that nothing can end.
  if (type === "number") return value;
  if (type === "boolean") return value.toLowerCase() === "true" ? "True" : "False";
  return JSON.stringify(value);
}

function where() {
  const chosen = [...by("fields").querySelectorAll("select")].filter((each) => each.value);
  const parts = chosen.map((each) => {
    const {field, type} = each.dataset;
    if (type === "list") return `list_contains(${field}, ${JSON.stringify(each.value)})`;
    return `${field} == ${literal(each.value, type)}`;
  });
  return parts.length ? parts.join(" and ") : null;
}

async function* events(reply) {
  const reader = reply.body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  for (;;) {
    const {value, done} = await reader.read();
    if (done) return;
    rest += value;
    const parts = rest.split("\n\n");
    rest = parts.pop();
    for (const part of parts) {
      if (part.startsWith(":")) continue; // a comment: the service is at work
      const [kind, data] = part.split("\n");
      yield [kind.slice(7), JSON.parse(data.slice(6))];
    }
  }
}

function show(context) {
  const share = context.budget ? Math.min(context.used / context.budget, 1) : 0;
  by("used").style.width = `${100 * share}%`;
  by("size").textContent = context.budget
    ? `${context.used.toLocaleString()} of ${context.budget.toLocaleString()} ${context.unit}, ${context.hits.length} passages`
    : `${context.hits.length} passages`;
  by("passages").replaceChildren(...context.hits.map((hit) => {
    const item = made("li");
    const button = made("button", `${hit.source}: ${hit.text.replace(/\s+/g, " ").slice(0, 110)}…`);
    button.type = "button";
    button.addEventListener("click", () => open(hit.source, hit.start, hit.end));
    item.append(button);
    return item;
  }));
}

async function open(source, start, end) {
  const query = new URLSearchParams({source, start, end, around: 600});
  const reply = await fetch(`v1/source?${query}`, {headers: headers()});
  if (!reply.ok) { await refused(reply); return; }
  const {chunks} = await reply.json();
  const text = by("source-text");
  text.replaceChildren();
  for (const chunk of chunks) {
    const from = Math.max(start - chunk.start, 0), to = Math.min(end - chunk.start, chunk.text.length);
    if (from < to) {
      text.append(chunk.text.slice(0, from), made("mark", chunk.text.slice(from, to)), chunk.text.slice(to), "\n\n");
    } else {
      text.append(chunk.text, "\n\n");
    }
  }
  by("source-name").textContent = source;
  by("source").showModal();
  text.querySelector("mark")?.scrollIntoView({block: "center"});
}

function finish(answer) {
  const places = new Map(answer.citations.map((each) => [String(each.number), each]));
  const parts = answer.text.split(/(\[\d+\??\])/);
  by("answer").replaceChildren(...parts.map((part) => {
    const number = /^\[(\d+)\??\]$/.exec(part)?.[1];
    const cited = number && places.get(number);
    if (!cited || !cited.verified) return document.createTextNode(part);
    const button = made("button", part);
    button.type = "button";
    button.setAttribute("aria-label", `Citation ${number}: ${cited.source}`);
    button.addEventListener("click", () => open(cited.source, cited.start, cited.end));
    return button;
  }));
  by("citations").replaceChildren(...answer.citations.map((each) => {
    const item = made("li");
    item.value = each.number;
    if (each.verified) {
      const button = made("button", `“${each.text}”`);
      button.type = "button";
      button.addEventListener("click", () => open(each.source, each.start, each.end));
      item.append(button, made("span", [each.source, ...each.section].join(" › "), "dim"));
    } else {
      item.append(made("span", `“${each.text}”`), made("span", " not found in the context", "bad"));
    }
    return item;
  }));
  by("notes").replaceChildren(...answer.notes.map((note) => made("li", note)));
  const usd = answer.calls.some((call) => call.usage.cost_usd === null) ? "no known price"
    : `$${answer.calls.reduce((sum, call) => sum + call.usage.cost_usd, 0).toFixed(4)}`;
  const seconds = answer.trace.reduce((sum, step) => sum + step.seconds, 0);
  const supported = answer.supported === null ? "" : ` · ${Math.round(100 * answer.supported)} % supported`;
  by("facts").textContent = `${answer.generator} · ${usd} · ${seconds.toFixed(2)} s${supported}`;
}

async function ask(event) {
  event.preventDefault();
  const question = by("question").value.trim();
  if (!question || running) return;
  if (by("key").value) sessionStorage.setItem("key", by("key").value.trim());
  fail("");
  running = new AbortController();
  by("ask").disabled = true;
  by("stop").hidden = false;
  by("result").hidden = false;
  by("answer").textContent = "";
  by("answer").setAttribute("aria-busy", "true");
  for (const id of ["citations", "notes", "passages"]) by(id).replaceChildren();
  by("facts").textContent = by("size").textContent = "";
  by("used").style.width = "0";
  try {
    const filter = where();
    const body = JSON.stringify({question, stream: true, ...(filter ? {where: filter} : {})});
    const reply = await fetch("v1/ask", {method: "POST", headers: headers(), body, signal: running.signal});
    if (!reply.ok) { await refused(reply); by("result").hidden = true; return; }
    for await (const [kind, value] of events(reply)) {
      if (kind === "context") show(value);
      else if (kind === "text") by("answer").append(value);
      else if (kind === "answer") finish(value);
      else if (kind === "error") fail(value.message);
    }
  } catch (error) {
    if (error.name === "AbortError") by("facts").textContent = "stopped";
    else fail("The service cannot be reached: is it running?");
  } finally {
    running = null;
    by("ask").disabled = false;
    by("stop").hidden = true;
    by("answer").setAttribute("aria-busy", "false");
  }
}

function theme(name) {
  document.documentElement.dataset.theme = name;
}

by("form").addEventListener("submit", ask);
by("stop").addEventListener("click", () => running?.abort());
by("question").addEventListener("keydown", (event) => {
  if (event.key === "Enter" && !event.shiftKey) { event.preventDefault(); by("form").requestSubmit(); }
});
by("key").addEventListener("change", () => {
  sessionStorage.setItem("key", by("key").value.trim());
  schema();
});
by("theme").addEventListener("click", () => {
  theme(document.documentElement.dataset.theme === "dark" ? "light" : "dark");
});
document.addEventListener("keydown", (event) => { if (event.key === "Escape") running?.abort(); });
theme(matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light");
schema();
