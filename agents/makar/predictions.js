// Moves between the tweets and entities of the page of predictions, which are all in the document. Its hash is in the
// page's content security policy.
"use strict";
{
  const one = (selector, root = document) => root.querySelector(selector);
  const all = (selector, root = document) => [...root.querySelectorAll(selector)];
  const entries = all("#entries > li");
  const panels = all("#tweets > article");
  const filters = all("#filters button");
  const search = one("#search");
  const help = one("#help");
  const zoom = one("#zoom");
  const texts = new Map();
  let filter = "all";
  let tweet = 0;
  let entity = 0; // from 1; 0: none is picked out

  const textOf = (panel) => {
    if (!texts.has(panel)) texts.set(panel, panel.textContent.toLowerCase());
    return texts.get(panel);
  };
  const visible = () => entries.map((_, index) => index).filter((index) => !entries[index].hidden);
  const cards = () => all(".entity", panels[tweet]);

  // Lets the boxes and words of one entity stand out.
  function stress(number, root = panels[tweet]) {
    all(".box", root).forEach((box) => box.classList.toggle("dim", number > 0 && Number(box.dataset.entity) !== number));
    all("mark", root).forEach((mark) => {
      mark.classList.toggle("chosen", number > 0 && mark.dataset.entities.split(" ").map(Number).includes(number));
    });
  }

  function pick(number) {
    entity = Math.max(0, Math.min(number, cards().length));
    cards().forEach((card, index) => {
      if (index + 1 === entity) card.setAttribute("aria-current", "true");
      else card.removeAttribute("aria-current");
    });
    stress(entity);
    if (entity) cards()[entity - 1].scrollIntoView({ block: "nearest" });
  }

  // Scrolls only the list, never the page.
  function reveal(element, box) {
    const inner = element.getBoundingClientRect();
    const outer = box.getBoundingClientRect();
    box.scrollTop += Math.min(0, inner.top - outer.top) + Math.max(0, inner.bottom - outer.bottom);
  }

  function show(next) {
    if (next !== tweet) pick(0);
    tweet = next;
    panels.forEach((panel, index) => { panel.hidden = index !== tweet; });
    entries.forEach((entry, index) => {
      if (index === tweet) one("button", entry).setAttribute("aria-current", "true");
      else one("button", entry).removeAttribute("aria-current");
    });
    reveal(entries[tweet], one("#entries"));
    history.replaceState(null, "", `#${tweet + 1}`);
  }

  function narrow() {
    const words = search.value.toLowerCase().split(/\s+/).filter(Boolean);
    entries.forEach((entry, index) => {
      const kept = entry.dataset.kinds.split(" ").includes(filter);
      entry.hidden = !(kept && words.every((word) => textOf(panels[index]).includes(word)));
    });
    filters.forEach((button) => button.setAttribute("aria-pressed", String(button.dataset.filter === filter)));
    const left = visible();
    one("#status").textContent = `${left.length} of ${entries.length} tweets`;
    one("#nothing").hidden = left.length > 0;
    if (left.includes(tweet)) show(tweet);
    else if (left.length) show(left[0]);
    else panels[tweet].hidden = true;
  }

  // Shows a tweet that was asked for, at its top if that is out of sight.
  function open(index) {
    show(index);
    const { top } = panels[index].getBoundingClientRect();
    if (top < 0 || top > innerHeight * 0.7) panels[index].scrollIntoView();
  }

  function turn(by) {
    const left = visible();
    const place = left.indexOf(tweet) + by;
    if (place >= 0 && place < left.length) open(left[place]);
  }

  function enlarge(photo) {
    const copy = photo.cloneNode(true);
    const [width, height] = photo.style.aspectRatio.split("/").map(Number);
    copy.style.width = `${Math.min(innerWidth * 0.94 - 24, (innerHeight * 0.94 - 24) * width / height)}px`;
    zoom.replaceChildren(copy);
    zoom.showModal();
  }

  const keys = {
    j: () => turn(1),
    k: () => turn(-1),
    ArrowRight: () => visible().length && pick(entity + 1),
    ArrowLeft: () => visible().length && pick(entity - 1),
    Escape: () => pick(0),
    f: () => {
      const open = filters.filter((button) => !button.disabled);
      filter = open[(open.findIndex((button) => button.dataset.filter === filter) + 1) % open.length].dataset.filter;
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
    panels.forEach((panel) => {
      all("button.photo", panel).forEach((photo) => photo.addEventListener("click", () => enlarge(photo)));
      all(".entity", panel).forEach((card, index) => {
        card.addEventListener("mouseenter", () => stress(index + 1));
        card.addEventListener("mouseleave", () => stress(entity));
        one("h3", card).addEventListener("click", () => pick(entity === index + 1 ? 0 : index + 1));
      });
      all("mark", panel).forEach((mark) => mark.addEventListener("click", () => pick(Number(mark.dataset.entities.split(" ")[0]))));
    });
    [help, zoom].forEach((dialog) => dialog.addEventListener("click", () => dialog.close()));
    const first = Number(location.hash.slice(1));
    if (panels[first - 1]) tweet = first - 1;
    narrow();
  }
}
