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
  if (!answer.ok) throw new Failure(answer.status, body.message || `The service answered with status ${answer.status}.`);
  return body;
}

const query = (fields) => Object.keys(fields).length ? `?${new URLSearchParams(fields)}` : "";

export const get = (path, fields = {}) => call(path + query(fields));
export const post = (path, body) => call(path, { method: "POST", body: JSON.stringify(body) });
export const jobs = (verb, fields) => get(`api/2.0/jobs/${verb}`, fields);
export const own = (...parts) => get(`console/v1/${parts.map(encodeURIComponent).join("/")}`);
