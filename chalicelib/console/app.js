// Which page the address names, and the token. A page that shows something alive is drawn again as long as it is open.

import { Failure, own, signOut, token } from "./calls.js";
import { h } from "./dom.js";
import { histories } from "./history.js";
import { job, jobList, run, runList, sparkUi } from "./views.js";

const view = document.getElementById("view");
const leave = document.getElementById("leave");
let turn = 0;

const PAGES = [
  [/^job\/(\d+)\/run\/(\d+)$/, async (of, number) => run((await own("jobs", of, "runs", number)).run_id), "runs"],
  [/^run\/(\d+)$/, (id) => run(id), "runs"],
  [/^application\/([0-9a-f-]{36})$/, async (of) => run((await own("applications", of)).run_id), "runs"],
  [/^job\/(\d+)$/, (id) => job(id), "jobs"],
  [/^setting\/sparkui\/([^/]+)\/driver-logs$/, async (of) => run((await own("clusters", of)).run_id), "runs"],
  [/^setting\/sparkui\/([^/]+)\/([^/]+)$/, async (of) => sparkUi((await own("clusters", of)).run_id), "runs"],
  [/^history(?:\/([0-9a-f-]+)?(\/.*)?)?$/i, (of, path) => histories(of, path), "history"],
  [/^jobs$/, () => jobList(), "jobs"],
  [/^(?:runs)?$/, () => runList(), "runs"],
];

function askForToken(message) {
  const field = h("input", { type: "password", id: "token", autocomplete: "off", spellcheck: "false", required: true });
  const enter = async (event) => {
    event.preventDefault();
    token.set(field.value.trim());
    draw();
  };
  view.replaceChildren(h("form", { class: "panel token", onsubmit: enter },
    h("h1", {}, "Sparkplane"),
    h("p", { class: "hint" }, "An access token opens the page. It stays in this tab and is forgotten with it."),
    message && h("p", { class: "message bad" }, message),
    h("label", { for: "token" }, "Token"), field,
    h("button", { class: "main" }, "Open")));
  leave.hidden = true;
  field.focus();
}

async function draw() {
  const mine = ++turn;
  let path = location.hash.slice(1).split("?")[0];
  try { path = decodeURIComponent(path); } catch { path = "?"; }
  const found = PAGES.map(([pattern, page, section]) => [pattern.exec(path), page, section]).find(([match]) => match);
  for (const link of document.querySelectorAll("nav a"))
    found && link.dataset.section === found[2] ? link.setAttribute("aria-current", "page") : link.removeAttribute("aria-current");
  if (!token.get()) return askForToken();
  leave.hidden = false;
  if (!found) return view.replaceChildren(h("p", { class: "message" }, "There is no such page."));
  view.replaceChildren(h("p", { class: "hint" }, "Loading…"));
  let page;
  try {
    page = await found[1](...found[0].slice(1));
  } catch (error) {
    if (mine === turn) fail(error);
    return;
  }
  if (mine !== turn) return;
  view.replaceChildren(...page.elements);
  document.title = `${page.title} · Sparkplane`;
  while (page.again) {
    await new Promise((resume) => setTimeout(resume, page.every || 2000));
    if (mine !== turn) return;
    try {
      if (!document.hidden && !await page.again()) return;
    } catch (error) {
      if (mine === turn && error instanceof Failure && [401, 404].includes(error.status)) return fail(error);
    }
  }
}

function fail(error) {
  if (error instanceof Failure && error.status === 401) {
    token.forget();
    return askForToken(error.message);
  }
  view.replaceChildren(h("p", { class: "message bad" }, error.message));
}

leave.addEventListener("click", async () => { await signOut(); draw(); });
addEventListener("hashchange", draw);
draw();
