// A log with data-log follows its stream. The last lines are in the page; more
// is added as it comes, in one go for each frame, and the oldest lines go.
const most = 5000;

const follow = (box) => {
  const stream = new EventSource(box.dataset.log);
  let pending = [], asked = false;
  const add = () => {
    asked = false;
    if (!box.isConnected) return stream.close();
    const below = box.scrollHeight - box.scrollTop - box.clientHeight < 40;
    box.append(...pending.map((text) => {
      const line = document.createElement("span");
      line.className = "line";
      line.textContent = text + "\n";
      return line;
    }));
    pending = [];
    while (box.children.length > most) box.firstElementChild.remove();
    if (below) box.scrollTop = box.scrollHeight;
  };
  stream.addEventListener("lines", ({ data }) => {
    pending.push(...JSON.parse(data));
    if (!asked) requestAnimationFrame(add);
    asked = true;
  });
  stream.addEventListener("end", () => stream.close());
};

export const logs = (root) => root.querySelectorAll("[data-log]:not([data-following])").forEach((box) => {
  box.dataset.following = "yes";
  box.scrollTop = box.scrollHeight;
  follow(box);
});
