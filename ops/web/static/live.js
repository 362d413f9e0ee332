// Keeps what is marked as data-live up to date: asks for the page again, and takes over the parts that changed.
// Without it the page has a link that loads it anew. What somebody is typing in, or has opened, is left alone.
"use strict";

const IDLE = 30;
const seconds = (page) => Number(page.querySelector("[data-live-seconds]")?.dataset.liveSeconds || 0);
const typed = (field) => field.value !== field.defaultValue || field.checked !== field.defaultChecked;
const busy = (part) =>
  part.contains(document.activeElement) || [...part.querySelectorAll("input, textarea")].some(typed);
const opened = (part) => [...part.querySelectorAll("details")].map((each) => each.open);

function takeOver(page) {
  for (const part of document.querySelectorAll("[data-live][id]")) {
    const fresh = page.getElementById(part.id);
    if (!fresh || busy(part)) continue;
    const open = opened(part);
    fresh.querySelectorAll("details").forEach((each, at) => {
      if (at in open) each.open = open[at];
    });
    if (fresh.innerHTML !== part.innerHTML) part.replaceChildren(...fresh.childNodes);
  }
}

async function look() {
  let next = IDLE;
  try {
    const answer = document.visibilityState === "visible" ? await fetch(location.pathname, { redirect: "error" }) : null;
    if (answer?.ok) {
      const page = new DOMParser().parseFromString(await answer.text(), "text/html");
      takeOver(page);
      next = seconds(page);
    } else if (!answer) {
      next = seconds(document);
    }
  } catch {
    next = IDLE; // the service, or the way to it, is away for a moment
  }
  if (next > 0) setTimeout(look, next * 1000);
}

setTimeout(look, seconds(document) * 1000);
