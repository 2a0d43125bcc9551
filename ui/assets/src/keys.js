// Keys: / to the search, g and a letter to a page (each link in the navigation
// says its letter), ? for the list of them.
const typing = (element) => element.closest("input, textarea, select, [contenteditable]");

export function keys() {
  let waiting = 0; // when g was pressed
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.key === "Escape" && typing(event.target)) return event.target.blur();
    if (typing(event.target)) return;
    const help = document.getElementById("keys");
    if (event.key === "/") {
      const search = document.querySelector("[data-search]");
      if (!search) return;
      event.preventDefault();
      search.focus();
      search.select?.();
    } else if (event.key === "?" && help) {
      help.open ? help.close() : help.showModal();
    } else if (event.key === "g") {
      waiting = Date.now();
    } else if (Date.now() - waiting < 1500) {
      waiting = 0;
      document.querySelector(`[data-key="${CSS.escape(event.key)}"]`)?.click();
    }
  });
}
