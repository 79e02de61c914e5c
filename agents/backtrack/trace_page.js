// Moves between the episodes and steps of the trace page, which are all in the document. Its hash is in the page's
// content security policy.
"use strict";
{
  const one = (selector, root = document) => root.querySelector(selector);
  const all = (selector, root = document) => [...root.querySelectorAll(selector)];
  const entries = all("#entries > li");
  const panels = all("#episodes > article");
  const filters = all("#filters button");
  const search = one("#search");
  const help = one("#help");
  const zoom = one("#zoom");
  const texts = new Map();
  let filter = "all";
  let episode = 0;
  let step = 0;

  const textOf = (panel) => {
    if (!texts.has(panel)) texts.set(panel, panel.textContent.toLowerCase());
    return texts.get(panel);
  };
  const visible = () => entries.map((_, index) => index).filter((index) => !entries[index].hidden);
  const mark = (elements, chosen) => elements.forEach((element, index) => {
    if (index === chosen) element.setAttribute("aria-current", "true");
    else element.removeAttribute("aria-current");
  });
  // Scrolls only the list or strip that an element is in, never the page.
  const reveal = (element, box) => {
    const inner = element.getBoundingClientRect();
    const outer = box.getBoundingClientRect();
    box.scrollTop += Math.min(0, inner.top - outer.top) + Math.max(0, inner.bottom - outer.bottom);
    box.scrollLeft += Math.min(0, inner.left - outer.left) + Math.max(0, inner.right - outer.right);
  };

  function show(nextEpisode, nextStep = 0) {
    const steps = all(":scope > .step", panels[nextEpisode]);
    episode = nextEpisode;
    step = Math.max(0, Math.min(nextStep, steps.length - 1));
    panels.forEach((panel, index) => { panel.hidden = index !== episode; });
    steps.forEach((section, index) => { section.hidden = index !== step; });
    const frames = all(".strip button", panels[episode]);
    const buttons = entries.map((entry) => one("button", entry));
    mark(buttons, episode);
    mark(frames, step);
    reveal(entries[episode], one("#entries"));
    reveal(frames[step], one(".strip", panels[episode]));
    history.replaceState(null, "", `#${episode + 1}.${step + 1}`);
  }

  function narrow() {
    const words = search.value.toLowerCase().split(/\s+/).filter(Boolean);
    entries.forEach((entry, index) => {
      const kept = entry.dataset.kinds.split(" ").includes(filter);
      entry.hidden = !(kept && words.every((word) => textOf(panels[index]).includes(word)));
    });
    filters.forEach((button) => button.setAttribute("aria-pressed", String(button.dataset.filter === filter)));
    const left = visible();
    one("#status").textContent = `${left.length} of ${entries.length} episodes`;
    one("#nothing").hidden = left.length > 0;
    if (left.includes(episode)) show(episode, step);
    else if (left.length) show(left[0]);
    else panels[episode].hidden = true;
  }

  // Shows an episode that was asked for, at its top if that is out of sight.
  function open(index) {
    show(index);
    const { top } = panels[index].getBoundingClientRect();
    if (top < 0 || top > innerHeight * 0.7) panels[index].scrollIntoView();
  }

  function turn(by) {
    const left = visible();
    const place = left.indexOf(episode) + by;
    if (place >= 0 && place < left.length) open(left[place]);
  }

  function enlarge(screen) {
    const copy = screen.cloneNode(true);
    const [width, height] = screen.style.aspectRatio.split("/").map(Number);
    copy.style.width = `${Math.min(innerWidth * 0.94 - 24, (innerHeight * 0.94 - 24) * width / height)}px`;
    zoom.replaceChildren(copy);
    zoom.showModal();
  }

  const keys = {
    j: () => turn(1),
    k: () => turn(-1),
    ArrowRight: () => visible().length && show(episode, step + 1),
    ArrowLeft: () => visible().length && show(episode, step - 1),
    f: () => {
      filter = filters[(filters.findIndex((button) => button.dataset.filter === filter) + 1) % filters.length].dataset.filter;
      narrow();
    },
    "/": () => search.focus(),
    "?": () => help.showModal(),
  };

  if (entries.length) {
    document.addEventListener("keydown", (event) => {
      if (event.target === search) {
        if (event.key === "Escape") search.blur();
        return;
      }
      if (event.ctrlKey || event.metaKey || event.altKey || help.open || zoom.open || !Object.hasOwn(keys, event.key)) return;
      event.preventDefault();
      keys[event.key]();
    });
    filters.forEach((button) => button.addEventListener("click", () => {
      filter = button.dataset.filter;
      narrow();
    }));
    search.addEventListener("input", narrow);
    one("#keys").addEventListener("click", keys["?"]);
    entries.forEach((entry, index) => one("button", entry).addEventListener("click", () => open(index)));
    panels.forEach((panel, index) => {
      all(".strip button", panel).forEach((frame, place) => frame.addEventListener("click", () => show(index, place)));
      all("button.screen", panel).forEach((screen) => screen.addEventListener("click", () => enlarge(screen)));
    });
    [help, zoom].forEach((dialog) => dialog.addEventListener("click", () => dialog.close()));
    const [first, second] = location.hash.slice(1).split(".").map(Number);
    if (panels[first - 1]) {
      episode = first - 1;
      step = (second || 1) - 1;
    }
    narrow();
  }
}
