// Times come as absolute ones in UTC. They are shown relative, in the
// reader's language, with the absolute one in the reader's zone on hover.
const steps = [[60, "second"], [3600, "minute", 60], [86400, "hour", 3600], [86400 * 30, "day", 86400], [86400 * 365, "month", 86400 * 30], [Infinity, "year", 86400 * 365]];
const relative = new Intl.RelativeTimeFormat("en", { numeric: "auto", style: "short" });
const absolute = new Intl.DateTimeFormat("en-GB", { dateStyle: "medium", timeStyle: "medium" });
const clock = new Intl.DateTimeFormat("en-GB", { dateStyle: "medium", timeStyle: "short" });

const say = (element) => {
  const at = new Date(element.dateTime);
  if (isNaN(at)) return;
  const full = absolute.format(at);
  if (element.title !== full) element.title = full;
  let text = clock.format(at);
  if (element.dataset.time === "relative") {
    const seconds = (at - Date.now()) / 1000;
    const [, unit, size = 1] = steps.find(([limit]) => Math.abs(seconds) < limit);
    text = Math.abs(seconds) < 5 ? "now" : relative.format(Math.round(seconds / size), unit);
  }
  if (element.textContent !== text) element.textContent = text;
};

export const times = (root) => root.querySelectorAll("time[data-time]").forEach(say);

setInterval(() => times(document), 10_000);
