// A button with data-copy copies that text, or its element's.
export function copying() {
  document.addEventListener("click", async (event) => {
    const button = event.target.closest("[data-copy]");
    if (!button) return;
    const text = button.dataset.copy || button.parentElement.querySelector("code, pre")?.textContent || "";
    try {
      await navigator.clipboard.writeText(text);
    } catch { // not allowed, or no secure context: select it, so that Ctrl-C does
      const shown = button.parentElement.querySelector("code, pre");
      if (shown) getSelection().selectAllChildren(shown);
      return;
    }
    button.dataset.copied = "yes";
    setTimeout(() => delete button.dataset.copied, 1500);
  });
}
