// Talks to the server that the page came from, and to nobody else.

async function send(path, options = {}) {
  let response;
  try {
    response = await fetch(path, options);
  } catch {
    throw new Error("the dashboard does not answer; is `attnlab dashboard` still running?");
  }
  if (response.ok || response.status === 304) return response;
  const { error } = await response.json().catch(() => ({}));
  throw new Error(error ?? `the dashboard failed on ${path} (status ${response.status}); its terminal says why`);
}

function withBody(method) {
  return async (path, body) => {
    const headers = { "Content-Type": "application/json" };
    return (await send(path, { method, headers, body: JSON.stringify(body) })).json();
  };
}

export const api = {
  async get(path) {
    return (await send(path)).json();
  },

  async text(path) {
    return (await send(path)).text();
  },

  put: withBody("PUT"),
  post: withBody("POST"),

  /**
   * Asks again every so many seconds while the page can be seen, and calls back with (content, error) when the answer has
   * changed. `path` may be a function that makes the path. A callback that returns true is asked for more at once.
   * Returns a function that ends it.
   */
  poll(path, seconds, callback) {
    let [etag, timer, ended, failed] = ["", 0, false, false];
    async function ask() {
      let more = false;
      if (!document.hidden) {
        try {
          const address = typeof path === "function" ? path() : path;
          const response = await send(address, { cache: "no-store", headers: etag ? { "If-None-Match": etag } : {} });
          if (ended) return;
          if (response.status !== 304 || failed) {
            etag = response.headers.get("ETag") ?? "";
            failed = false;
            more = await callback(response.status === 304 ? null : await response.json(), null);
          }
        } catch (error) {
          if (ended) return;
          failed = true;
          await callback(null, error);
        }
      }
      if (!ended) timer = setTimeout(ask, more === true ? 0 : seconds * 1000);
    }
    ask();
    return () => {
      ended = true;
      clearTimeout(timer);
    };
  },
};
