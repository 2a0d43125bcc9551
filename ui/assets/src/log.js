// A log with data-log follows its stream. The last lines are in the page; more
// is added as it comes, and the oldest lines go. They are in blocks, of which
// the browser lays out those in sight: its work for a frame does not grow with
// the log.
const most = 50; // blocks
const full = 100; // lines of a block
const some = 50; // lines of a frame; of many that wait a tenth, so that none waits for long

const lineOf = (text) => {
  const line = document.createElement("span");
  line.className = "line";
  line.textContent = text + "\n";
  return line;
};

const blockOf = (lines) => {
  const block = document.createElement("div");
  block.className = "lines";
  block.append(...lines);
  return block;
};

// add puts lines behind those in the box.
const add = (box, lines) => {
  const last = box.lastElementChild, room = last ? full - last.childElementCount : 0;
  if (room > 0) last.append(...lines.slice(0, room));
  for (let from = Math.max(0, room); from < lines.length; from += full) box.append(blockOf(lines.slice(from, from + full)));
  for (let over = box.childElementCount - most; over > 0; over--) box.firstElementChild.remove();
};

const follow = (box) => {
  const stream = new EventSource(box.dataset.log);
  let pending = [], asked = false;
  const show = () => {
    asked = false;
    if (!box.isConnected) return stream.close();
    const below = box.scrollHeight - box.scrollTop - box.clientHeight < 40;
    add(box, pending.splice(0, Math.max(some, pending.length / 10)).map(lineOf));
    if (below) box.scrollTop = box.scrollHeight;
    ask();
  };
  const ask = () => {
    if (asked || !pending.length) return;
    asked = true;
    if (document.hidden) setTimeout(show); // what nobody sees has no frames
    else requestAnimationFrame(show);
  };
  stream.addEventListener("lines", ({ data }) => {
    pending = pending.concat(JSON.parse(data)).slice(-most * full);
    ask();
  });
  stream.addEventListener("end", () => stream.close());
};

export const logs = (root) => root.querySelectorAll("[data-log]:not([data-following])").forEach((box) => {
  const shown = [...box.children];
  box.dataset.following = "yes";
  box.replaceChildren();
  add(box, shown);
  box.scrollTop = box.scrollHeight;
  follow(box);
});
