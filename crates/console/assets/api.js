// Reading from the server, and asking again.

// How often the state is read while the page is seen.
export const INTERVAL_MS = 2000;
// The longest pause between two tries while the server does not answer.
export const PAUSE_MS_MAX = 30000;
// After this long without an answer a request counts as failed.
const TIMEOUT_MS = 10000;

/** What went wrong, in words for the reader. `status` is 0 when there was no answer. */
export class ReadError extends Error {
  constructor(status, message, pauseMs = 0) {
    super(message);
    this.status = status;
    this.pauseMs = pauseMs;
  }
}

/**
 * Reads JSON. Resolves to `{ body, now, status }`, `now` being the server's time in milliseconds.
 * Without a session it leaves for the login page. `accepts` lists further statuses whose body is wanted.
 */
export async function read(path, accepts = []) {
  const response = await fetch(path, {
    credentials: 'same-origin', cache: 'no-store', headers: { Accept: 'application/json' }, signal: AbortSignal.timeout(TIMEOUT_MS),
  }).catch(() => { throw new ReadError(0, 'The server does not answer.'); });
  if (response.status === 401) {
    location.assign('/login');
    return new Promise(() => {});
  }
  const body = await response.json().catch(() => null);
  if ((!response.ok && !accepts.includes(response.status)) || body === null) throw refusal(response, body);
  return { body, now: Date.parse(response.headers.get('date') ?? '') || Date.now(), status: response.status };
}

function refusal(response, body) {
  const wait = Number(response.headers.get('retry-after')) * 1000 || 0;
  const said = body?.detail ?? body?.title ?? body?.message;
  return new ReadError(response.status, said ? String(said) : `The server answered ${response.status}.`, wait);
}

/** Sends a command that changes something; the header shows that this page sent it. */
export function send(path) {
  return fetch(path, { method: 'POST', credentials: 'same-origin', redirect: 'manual', headers: { 'X-Requested-With': 'bartizan' } });
}

/** Lets the log-out button use `send`, and go to the login page afterwards. */
export function wireLogout(form) {
  form.addEventListener('submit', async (submitted) => {
    submitted.preventDefault();
    await send('/logout').catch(() => {});
    location.assign('/login');
  });
}

/**
 * Calls `step` again and again while the page is seen. After a failure the pause doubles; `failed` gets
 * the error, when the trouble began and the pause in milliseconds. Returns a function that tries at once.
 */
export function poll(step, failed) {
  let timer = 0;
  let running = false;
  let failures = 0;
  let since = 0;

  async function turn() {
    clearTimeout(timer);
    if (running || document.hidden) return;
    running = true;
    let pause = INTERVAL_MS;
    try {
      await step();
      failures = 0;
    } catch (error) {
      if (failures === 0) since = Date.now();
      failures += 1;
      pause = Math.min(PAUSE_MS_MAX, Math.max(error.pauseMs ?? 0, INTERVAL_MS * 2 ** Math.min(failures, 10)));
      failed(error, since, pause);
    }
    running = false;
    if (!document.hidden) timer = setTimeout(turn, pause);
  }

  document.addEventListener('visibilitychange', () => { if (document.hidden) clearTimeout(timer); else turn(); });
  turn();
  return turn;
}
