// A page with data-live stays up to date: the server renders it again when
// something has changed, and sends what is inside <main>. A hidden tab lets go
// of its stream, since a browser has only six connections to one server.
export function live(morph, settle) {
  let stream = null;
  const say = (state) => document.querySelector("[data-live-state]")?.setAttribute("data-live-state", state);
  const open = () => {
    const main = document.querySelector("main[data-live]");
    if (!main || stream || document.hidden) return;
    const url = new URL(location.href);
    url.searchParams.set("_live", main.dataset.live);
    stream = new EventSource(url);
    stream.onopen = () => say("on");
    stream.onerror = () => say("lost"); // it tries again by itself
    stream.addEventListener("main", ({ data }) => {
      morph(document.querySelector("main"), data);
      settle();
    });
    stream.addEventListener("gone", () => location.reload()); // the session is over, or the page
  };
  const close = () => {
    stream?.close();
    stream = null;
  };
  document.addEventListener("visibilitychange", () => (document.hidden ? close() : open()));
  document.addEventListener("htmx:pushedIntoHistory", () => { close(); open(); });
  addEventListener("pagehide", close);
  addEventListener("pageshow", open);
  open();
}
