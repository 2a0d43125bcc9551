// A link with data-open shows the first runs of its group below it, and takes
// them away again; which groups are open is in the address.
import { times } from "./times.js";

export const groups = () => document.addEventListener("click", async (event) => {
  const link = event.target.closest("a[data-open]");
  if (!link || event.ctrlKey || event.metaKey || event.shiftKey) return;
  event.preventDefault();
  const open = link.ariaExpanded !== "true", body = link.closest("tbody"), url = new URL(location.href);
  link.ariaExpanded = open;
  const others = url.searchParams.getAll("open").filter((value) => value !== link.dataset.value);
  url.searchParams.delete("open");
  for (const value of open ? [...others, link.dataset.value] : others) url.searchParams.append("open", value);
  history.replaceState(history.state, "", url);
  for (const row of [...body.rows].slice(1)) row.remove();
  if (!open) return;
  try {
    const answer = await fetch(`/ui/runs/group?${link.dataset.open}`);
    if (!answer.ok) throw new Error(answer.statusText);
    const made = document.createElement("template");
    made.innerHTML = await answer.text();
    times(made.content);
    if (link.ariaExpanded === "true" && body.rows.length === 1) body.append(made.content);
  } catch {
    location.assign(url); // the whole page has it, or says why not
  }
});
