// Calls of the API, with the token of this browser tab.

const KEY = "sparkplane.token";

export const token = {
  get: () => sessionStorage.getItem(KEY) || "",
  set: (text) => sessionStorage.setItem(KEY, text),
  forget: () => sessionStorage.removeItem(KEY),
};

export class Failure extends Error {
  constructor(status, message) {
    super(message);
    this.status = status;
  }
}

async function call(path, options = {}) {
  const headers = { Authorization: `Bearer ${token.get()}`, ...(options.body ? { "Content-Type": "application/json" } : {}) };
  const answer = await fetch(path, { ...options, headers, cache: "no-store" });
  const text = await answer.text();
  let body = {};
  try { body = text ? JSON.parse(text) : {}; } catch { body = {}; }
  const said = body.message || (body.errors && body.errors[0] && body.errors[0].message);
  if (!answer.ok) throw new Failure(answer.status, said || `The service answered with status ${answer.status}.`);
  return body;
}

const query = (fields) => Object.keys(fields).length ? `?${new URLSearchParams(fields)}` : "";

export const get = (path, fields = {}) => call(path + query(fields));
export const post = (path, body) => call(path, { method: "POST", body: JSON.stringify(body) });
export const remove = (path) => call(path, { method: "DELETE" });
export const jobs = (verb, fields) => get(`api/2.0/jobs/${verb}`, fields);
export const own = (...parts) => get(`console/v1/${parts.map(encodeURIComponent).join("/")}`);

// What opens a history server's pages is a cookie that only the browser reads. Which ones this tab has asked for, and
// until when it asks for no other, is kept beside the token.

const SESSIONS = "sparkplane.sessions";
const HOURS = 3 * 3600 * 1000;
const sessions = () => JSON.parse(sessionStorage.getItem(SESSIONS) || "{}");

export const server = (instance) => `v4/analytics_engines/${instance}/spark_history_server`;

export async function openPages(instance) {
  if (sessions()[instance] > Date.now()) return;
  await post(`${server(instance)}/session`, {});
  sessionStorage.setItem(SESSIONS, JSON.stringify({ ...sessions(), [instance]: Date.now() + HOURS }));
}

export async function signOut() {
  await Promise.allSettled(Object.keys(sessions()).map((instance) => remove(`${server(instance)}/session`)));
  sessionStorage.removeItem(SESSIONS);
  token.forget();
}
