// How a page that has changed is merged into what is shown: only what differs
// changes, so that focus, scroll position, what was opened and what somebody
// has typed or ticked stay.
import { Idiomorph } from "idiomorph";

// Whether a field has something in it that the server did not put there.
const touched = (field) => {
  if (field.type === "hidden") return false;
  if (field.type === "checkbox" || field.type === "radio") return field.checked !== field.defaultChecked;
  if (field.options) return field.selectedIndex !== Math.max(0, [...field.options].findIndex((o) => o.defaultSelected));
  return field.value !== field.defaultValue;
};

// Whether two are the same field: of boxes to tick, what is sent says which.
const same = (a, b) => a.name === b.name && a.type === b.type && (a.type !== "checkbox" || a.defaultValue === b.defaultValue);

// What an action does is what its form sends.
const sends = (action) => {
  const form = action.querySelector("form");
  return form && [form.getAttribute("action"), ...[...form.querySelectorAll("[type=hidden]")].map((f) => f.name + "=" + f.value)].join("&");
};

const keeps = (old, now) => {
  if (old.nodeType !== Node.ELEMENT_NODE) return false;
  if (old.hasAttribute("data-keep")) {
    old.dispatchEvent(new CustomEvent("kept", { detail: now })); // which may look at what the server would show
    return true;
  }
  if (old.matches("details.action") && old.open) {
    if (now.matches?.("details.action") && sends(old) === sends(now)) return true;
    old.open = false; // another action has come to its place: nobody is to click on that by mistake
    return false;
  }
  return old.matches("input, textarea, select") && now.matches?.("input, textarea, select") && same(old, now) && touched(old);
};

export const morph = (from, to) => Idiomorph.morph(from, to, {
  morphStyle: "outerHTML",
  ignoreActiveValue: true,
  callbacks: {
    beforeAttributeUpdated: (name, node) => !(name === "open" && node.nodeName === "DETAILS"),
    beforeNodeMorphed: (old, now) => !keeps(old, now),
  },
});
