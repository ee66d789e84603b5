// The pages: each says its title, its elements, and with `again` how it is brought up to date (false: it is over).

import { Failure, jobs, own, post } from "./calls.js";
import { action, facts, h, panel, span, table, time } from "./dom.js";
import { applicationLink } from "./history.js";

const ENDED = ["TERMINATED", "SKIPPED", "INTERNAL_ERROR"];
const ended = (shown) => ENDED.includes(shown.state.life_cycle_state);
const KINDS = { SUCCESS: "good", FAILED: "bad", TIMEDOUT: "bad", CANCELED: "" };

function badge(state) {
  const word = ENDED.includes(state.life_cycle_state) ? state.result_state || state.life_cycle_state : state.life_cycle_state;
  const kind = word in KINDS ? KINDS[word] : word === "INTERNAL_ERROR" ? "bad" : word === "SKIPPED" ? "" : "live";
  return h("span", { class: `badge ${kind}` }, word.toLowerCase().replace("_", " ").replace("timedout", "timed out"));
}

const runLink = (id, text) => h("a", { href: `#run/${id}` }, text || `run ${id}`);
const saved = (shown) => shown.run_type === "JOB_RUN";
const pretty = (value) => h("pre", {}, JSON.stringify(value, null, 2));
const taskName = (task) => (Object.keys(task || {})[0] || "").replace(/_task$/, "").replaceAll("_", " ");

function lasted(shown) {
  return span((shown.end_time || Date.now()) - shown.start_time);
}

function runRows(runs, withJob) {
  const cell = (shown) => shown.trigger === "ONE_TIME" && !saved(shown) ? "one-time" : shown.trigger.toLowerCase().replaceAll("_", " ");
  return runs.map((shown) => h("tr", {},
    h("td", { class: "grow" }, h("a", { href: `#run/${shown.run_id}` }, withJob ? shown.run_name : `run ${shown.number_in_job}`)),
    h("td", {}, badge(shown.state)), h("td", {}, taskName(shown.task)), h("td", {}, cell(shown)),
    h("td", {}, time(shown.start_time)), h("td", {}, lasted(shown))));
}

const RUN_HEADS = ["Run", "State", "Task", "Trigger", "Start", "Time"];

const ADDRESSES = [[/^\d+$/, "run/"], [/^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/, "application/"]];

function find() {
  const field = h("input", { type: "search", "aria-label": "Find a run", placeholder: "Run or application id", spellcheck: "false" });
  const open = (event) => {
    event.preventDefault();
    const text = field.value.trim().toLowerCase();
    const found = ADDRESSES.find(([pattern]) => pattern.test(text));
    field.setCustomValidity(found ? "" : "A run's number, or an application's id of 36 characters.");
    if (found) location.hash = `#${found[1]}${text}`;
    else field.reportValidity();
  };
  return h("form", { class: "find", onsubmit: open, oninput: () => field.setCustomValidity("") }, field);
}

export async function runList() {
  const place = h("div");
  let active = false;
  let limit = 25;
  const more = h("button", { onclick: () => { limit += 25; draw(); } }, "More");
  const filter = h("button", { "aria-pressed": "false", onclick: () => {
    active = !active;
    filter.setAttribute("aria-pressed", active);
    draw();
  } }, "Active only");
  async function draw() {
    const page = await jobs("runs/list", { limit, ...(active ? { active_only: true } : {}) });
    place.replaceChildren(page.runs.length ? table(RUN_HEADS, runRows(page.runs, true)) : h("p", { class: "hint" }, "No runs."));
    more.hidden = !page.has_more;
    return true;
  }
  await draw();
  const head = h("div", { class: "head" }, h("h1", {}, "Runs"), h("div", { class: "tabs" }, find(), filter));
  return { title: "Runs", elements: [head, panel("", place), more], again: draw, every: 5000 };
}

export async function jobList() {
  const found = (await jobs("list", {})).jobs.reverse();
  const rows = found.map((one) => h("tr", {},
    h("td", { class: "grow" }, h("a", { href: `#job/${one.job_id}` }, one.settings.name || "Untitled")),
    h("td", {}, taskName(Object.fromEntries(Object.entries(one.settings).filter(([name]) => name.endsWith("_task"))))),
    h("td", {}, one.settings.schedule ? `${one.settings.schedule.quartz_cron_expression} ${one.settings.schedule.timezone_id}` : ""),
    h("td", {}, one.creator_user_name), h("td", {}, time(one.created_time))));
  const shown = rows.length ? table(["Job", "Task", "Schedule", "Creator", "Created"], rows) : h("p", { class: "hint" }, "No jobs.");
  return { title: "Jobs", elements: [h("div", { class: "head" }, h("h1", {}, "Jobs")), panel("", shown)] };
}

export async function job(id) {
  const [shown, fires] = await Promise.all([jobs("get", { job_id: id }), own("jobs", id, "fires")]);
  const settings = shown.settings;
  const list = h("div");
  async function draw() {
    const page = await jobs("runs/list", { job_id: id, limit: 20 });
    list.replaceChildren(page.runs.length ? table(RUN_HEADS, runRows(page.runs, false)) : h("p", { class: "hint" }, "It has not run yet."));
    return true;
  }
  await draw();
  const start = action("Run now", "main", async () => {
    location.hash = `#run/${(await post("api/2.0/jobs/run-now", { job_id: Number(id) })).run_id}`;
  });
  const schedule = settings.schedule && panel("Schedule",
    facts({ "Expression": settings.schedule.quartz_cron_expression, "Time zone": settings.schedule.timezone_id,
      "State": settings.schedule.pause_status.toLowerCase() }),
    h("p", { class: "dim" }, fires.fires.length ? "Next:" : "No further fires."),
    h("ul", {}, fires.fires.map((fire) => h("li", {}, time(fire)))));
  const head = h("div", { class: "head" }, h("div", { class: "title" }, h("h1", {}, settings.name || "Untitled")), start);
  const about = facts({ "Job": id, "Creator": shown.creator_user_name, "Created": time(shown.created_time),
    "Concurrent runs": String(settings.max_concurrent_runs ?? 1) });
  return { title: settings.name || "Job", elements: [head, panel("", about), schedule || "", panel("Runs", list), panel("Settings", pretty(settings))],
    again: draw, every: 5000 };
}

function sparkOf(about) {
  const ran = about.engine_version;
  return ran && ran !== about.spark_version ? `${ran} ran it; ${about.spark_version} was asked for` : about.spark_version;
}

function runFacts(shown, about) {
  const attempts = shown.attempt_number
    ? h("span", {}, `${shown.attempt_number + 1}, after `, runLink(shown.original_attempt_run_id, "the first")) : "1";
  return facts({
    "Run": String(shown.run_id),
    "Job": saved(shown) ? h("a", { href: `#job/${shown.job_id}` }, `${shown.job_id}, run ${shown.number_in_job}`) : "one-time",
    "Attempt": attempts,
    "Next attempt": about.next_attempt ? runLink(about.next_attempt) : "",
    "Made by": about.parent ? runLink(about.parent) : "",
    "Runs": shown.run_job_output ? runLink(shown.run_job_output.run_id) : "",
    "Trigger": shown.trigger.toLowerCase().replaceAll("_", " "),
    "Creator": shown.creator_user_name,
    "Start": time(shown.start_time),
    "End": time(shown.end_time),
    "Time": lasted(shown),
    "Set-up": span(shown.setup_duration),
    "Execution": span(shown.execution_duration),
    "Time-out": about.timeout_ms ? span(about.timeout_ms) : "",
    "Pool": about.pool,
    "Spark": sparkOf(about),
    "Release": about.release,
    "Spark application": [about.application_id, about.application_name].filter(Boolean).join(", "),
    "Analytics Engine application": about.analytics_engine_id,
    "Cluster": shown.cluster_instance && shown.cluster_instance.cluster_id,
  });
}

export async function run(id) {
  let [shown, about] = await Promise.all([jobs("runs/get", { run_id: id }), own("runs", id)]);
  const state = h("span"), message = h("div"), values = h("div"), cancel = h("span"), spark = h("span");
  const stop = action("Cancel", "danger", async () => { await post("api/2.0/jobs/runs/cancel", { run_id: Number(id) }); return "Asked to end."; });
  const log = logs(id);
  const driver = shown.task && !shown.task.run_job_task;
  const page = h("div");
  let exported = false;

  async function bring() {
    state.replaceChildren(badge(shown.state));
    const text = about.waits || shown.state.state_message;
    const bad = ["FAILED", "TIMEDOUT"].includes(shown.state.result_state) || shown.state.life_cycle_state === "INTERNAL_ERROR";
    message.replaceChildren(text ? h("p", { class: `message${bad ? " bad" : ""}` }, text) : "");
    values.replaceChildren(runFacts(shown, about));
    if (ended(shown)) cancel.replaceChildren();
    else if (!cancel.firstChild) cancel.append(stop);
    if (driver) await log.bring();
    if (ended(shown) && !spark.firstChild) spark.append(await applicationLink(about));
    if (ended(shown) && shown.task && shown.task.notebook_task && !exported) {
      exported = true;
      page.replaceChildren(await notebook(id));
    }
  }
  await bring();

  async function again() {
    [shown, about] = await Promise.all([jobs("runs/get", { run_id: id }), own("runs", id)]);
    await bring();
    return !ended(shown) || again.late-- > 0;
  }
  again.late = 3;  // the last of a log arrives a moment after the end
  const given = about.asked || { task: shown.task, ...(shown.overriding_parameters ? { overriding_parameters: shown.overriding_parameters } : {}),
    cluster_spec: shown.cluster_spec };
  const head = h("div", { class: "head" }, h("div", { class: "title" }, h("h1", {}, shown.run_name), state), h("span", {}, spark, " ", cancel));
  return {
    title: shown.run_name,
    elements: [head, message, panel("", values), page, driver ? panel("Driver log", ...log.elements) : "", panel("What was asked for", pretty(given))],
    again: ended(shown) && about.state !== "" && Date.now() - shown.end_time > 30000 ? null : again,
  };
}

function logs(id) {
  let stream = "stdout";
  const text = h("pre", { tabindex: "0", "aria-label": "Log" }), hint = h("p", { class: "hint" });
  async function bring() {
    const found = await own("runs", id, "logs", stream);
    const follow = text.scrollTop + text.clientHeight >= text.scrollHeight - 8;
    if (text.textContent !== found.text) text.textContent = found.text;
    text.hidden = !found.text;
    hint.textContent = found.text ? (found.truncated ? "The end of the log." : "") : "Nothing has been written yet.";
    if (follow) text.scrollTop = text.scrollHeight;
  }
  const buttons = ["stdout", "stderr"].map((name) => h("button", { "aria-pressed": String(name === stream), onclick: () => {
    stream = name;
    for (const one of buttons) one.setAttribute("aria-pressed", String(one.textContent === name));
    bring().catch((error) => { hint.textContent = error.message; });
  } }, name));
  return { elements: [h("div", { class: "tabs" }, buttons), hint, text], bring };
}

async function notebook(id) {
  try {
    const views = (await jobs("runs/export", { run_id: id })).views;
    return views.length ? panel("Notebook", h("iframe", { sandbox: "", srcdoc: views[0].content, title: "The notebook as it ran" })) : "";
  } catch (error) {
    if (error instanceof Failure && error.status === 401) throw error;
    return panel("Notebook", h("p", { class: "hint" }, error.message));
  }
}

export async function sparkUi(id) {
  const [shown, about] = await Promise.all([jobs("runs/get", { run_id: id }), own("runs", id)]);
  const head = h("div", { class: "head" }, h("div", { class: "title" }, h("h1", {}, shown.run_name), badge(shown.state)), runLink(id, "The run"));
  const hint = h("p", { class: "hint" }, "Spark's own pages are served by a history server that reads the run's event log ",
    "(spark.eventLog.enabled). What the control plane knows of the application is here; its log is on the run's page.");
  return { title: shown.run_name, elements: [head, panel("Spark application", facts({ "Application": about.application_id || "not told yet",
    "Spark": sparkOf(about), "Cluster": shown.cluster_instance && shown.cluster_instance.cluster_id, "Run": runLink(id) }), await applicationLink(about), hint)] };
}
