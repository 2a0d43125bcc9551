// A page with data-live stays up to date: the server renders it again when
// something has changed, and sends what is inside <main>. A hidden tab lets go
// of its stream, since a browser has only six connections to one server.
// What is worth telling those who do not see the page: not each figure that
// moves, but where the thing that the page is about stands.
const told = () => {
  const parts = document.querySelectorAll("main [data-say]");
  return parts.length ? [document.querySelector("main h1").innerText, ...[...parts].map((e) => e.innerText)].join(", ") : "";
};

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
      const before = told();
      morph(document.querySelector("main"), data);
      settle();
      if (told() !== before) document.getElementById("said").textContent = told();
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
