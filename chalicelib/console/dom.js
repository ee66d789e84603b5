// Making elements. Everything that is shown goes in as text: what users wrote is never read as HTML.

export function h(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes || {})) {
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (value === true) element.setAttribute(name, "");
    else if (value !== false && value != null) element.setAttribute(name, value);
  }
  element.append(...children.flat().filter((child) => child != null && child !== false));
  return element;
}

export const panel = (title, ...children) => h("section", { class: "panel" }, title && h("h2", {}, title), ...children);

export function facts(pairs) {
  const shown = Object.entries(pairs).filter(([, value]) => value != null && value !== "" && value !== false);
  return h("dl", { class: "facts" }, shown.map(([name, value]) => h("div", {}, h("dt", {}, name), h("dd", {}, value))));
}

export function table(heads, rows) {
  const head = h("tr", {}, heads.map((text) => h("th", { scope: "col" }, text)));
  return h("div", { class: "wide" }, h("table", {}, h("thead", {}, head), h("tbody", {}, rows)));
}

const clock = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "medium" });

export const time = (ms) => ms ? h("time", { datetime: new Date(ms).toISOString() }, clock.format(ms)) : "";

export function span(ms) {
  if (!(ms > 0)) return ms === 0 ? "0 s" : "";
  const s = Math.floor(ms / 1000);
  if (s < 60) return `${(ms / 1000).toFixed(s < 10 ? 1 : 0)} s`;
  return s < 3600 ? `${Math.floor(s / 60)} min ${s % 60} s` : `${Math.floor(s / 3600)} h ${Math.floor(s % 3600 / 60)} min`;
}

export function action(text, kind, work) {
  const said = h("span", { class: "hint", role: "status" });
  const button = h("button", { class: kind, onclick: async () => {
    button.disabled = true;
    try { said.textContent = await work() || ""; }
    catch (error) { said.textContent = error.message; button.disabled = false; }
  } }, text);
  return h("span", {}, said, " ", button);
}
