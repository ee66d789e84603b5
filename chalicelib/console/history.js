// The history servers: one a pool. Started and stopped here, and opened in a tab of its own, which the token is not in.

import { openPages, own, post, remove, server } from "./calls.js";
import { action, facts, h, panel, time } from "./dom.js";

const KINDS = { running: "good", starting: "live", waiting: "live" };

const opener = (instance, path, text) =>
  h("a", { class: "button main", href: `${server(instance)}/ui${path}`, target: "_blank", rel: "noopener" }, text);

function size(memory) {
  return memory % 1024 ? `${memory} MiB` : `${memory / 1024} GiB`;
}

async function one(told, path, draw) {
  const change = (text, kind, work) => action(text, kind, async () => { await work(); await draw(); });
  const at = server(told.instance_id);
  const stopped = told.state === "stopped";
  if (told.state === "running") await openPages(told.instance_id);
  const said = stopped ? {} : { "Cores": String(told.cores), "Memory": size(told.memory), "Start": time(told.start_time),
    "Ends if unused": time(told.deadline) };
  return panel("",
    h("div", { class: "head" },
      h("div", { class: "title" }, h("h2", {}, told.pool), h("span", { class: `badge ${KINDS[told.state] || ""}` }, told.state)),
      h("span", {}, told.state === "running" && opener(told.instance_id, path, "Open"), " ",
        stopped ? change("Start", "main", () => post(at, {})) : change("Stop", "danger", () => remove(at)))),
    told.waits && h("p", { class: "message" }, told.waits),
    facts({ "Instance": told.instance_id, ...said }));
}

export async function histories(instance, path) {
  const place = h("div");
  let shown = "";
  async function draw() {
    const found = (await own("history")).servers.filter((told) => !instance || told.instance_id === instance);
    const now = JSON.stringify(found);
    if (now !== shown) {
      const panels = await Promise.all(found.map((told) => one(told, path || "/", draw)));
      place.replaceChildren(...(panels.length ? panels : [h("p", { class: "message" }, "There is no such instance.")]));
    }
    shown = now;
    return true;
  }
  await draw();
  const hint = h("p", { class: "hint" }, "Spark's own pages of the runs that have ended, and that were asked for their event log ",
    "(spark.eventLog.enabled). A server counts against its pool's quota while it runs.");
  return { title: "History", elements: [h("div", { class: "head" }, h("h1", {}, "Spark history")), hint, place], again: draw, every: 2000 };
}

// The way from a run to its application's pages: nothing where no history server runs that reads its event log.
export async function applicationLink(about) {
  if (!about.application_id || !about.event_log) return "";
  const found = (await own("history")).servers.find((told) => told.pool === about.pool);
  if (!found || found.state !== "running") return h("a", { href: `#history/${found ? found.instance_id : ""}` }, "Start a history server");
  await openPages(found.instance_id);
  return opener(found.instance_id, `/history/${encodeURIComponent(about.application_id)}/jobs/`, "Spark's pages");
}
