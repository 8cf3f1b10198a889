// Comfort that every page can do without: times in the reader's zone, the search key, forms that send themselves,
// copying. Nothing is stored and nothing is sent anywhere else.
"use strict";
document.documentElement.classList.add("js");

function localTimes(root) {
  const withTime = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "short" });
  const dayOnly = new Intl.DateTimeFormat(undefined, { dateStyle: "medium" });
  for (const element of root.querySelectorAll("time[datetime]")) {
    if ("ago" in element.dataset) continue;
    const moment = new Date(element.getAttribute("datetime"));
    if (Number.isNaN(moment.getTime())) continue;
    if ("deadline" in element.dataset) {
      if (element.dataset.deadline || !moment.getTimezoneOffset()) continue;
      element.dataset.deadline = "local";
      element.append(` (${withTime.format(moment)} your time)`);
      continue;
    }
    element.textContent = ("day" in element.dataset ? dayOnly : withTime).format(moment);
  }
}

function say(button, words) {
  const before = button.lastChild.textContent;
  button.lastChild.textContent = words;
  setTimeout(() => { button.lastChild.textContent = before; }, 1500);
}

function copyButtons(root) {
  for (const button of root.querySelectorAll("[data-copy]")) {
    button.hidden = false;
    button.addEventListener("click", async () => {
      const source = document.querySelector(button.dataset.copy);
      await navigator.clipboard.writeText(source.textContent.trim());
      say(button, "Copied");
    });
  }
  for (const link of root.querySelectorAll("[data-copy-link]")) {
    link.addEventListener("click", async (event) => {
      if (!navigator.clipboard) return;
      event.preventDefault();
      await navigator.clipboard.writeText(new URL(link.getAttribute("href"), location.href).href);
      say(link, "Link copied");
    });
  }
}

function selfSending(root) {
  for (const form of root.querySelectorAll("form[data-autosubmit]")) {
    form.addEventListener("change", () => form.requestSubmit());
    form.addEventListener("submit", () => {
      // an address holds only what was chosen
      for (const control of form.elements) {
        if (control.name && control.value === "" && control.type !== "checkbox") control.disabled = true;
      }
      const shown = form.querySelectorAll("input[name=show]");
      if (shown.length && [...shown].every((box) => box.checked)) {
        for (const box of [...shown, ...form.querySelectorAll("input[name=kinds]")]) box.disabled = true;
      }
    });
  }
}
// coming back with the browser's arrow finds the form as it was sent
addEventListener("pageshow", () => {
  for (const control of document.querySelectorAll("form[data-autosubmit] [disabled]")) control.disabled = false;
});

function closingMenus() {
  document.addEventListener("click", (event) => {
    for (const open of document.querySelectorAll("details.menu[open], details.src[open]")) {
      if (!open.contains(event.target)) open.open = false;
    }
  });
  document.addEventListener("keydown", (event) => {
    if (event.key === "Escape") {
      for (const open of document.querySelectorAll("details.menu[open], details.src[open]")) {
        open.open = false;
        open.querySelector("summary").focus();
      }
    }
    if (event.key === "/" && !event.ctrlKey && !event.metaKey && !event.altKey && !event.target.closest("input, textarea, select")) {
      const field = document.getElementById("find");
      if (field && field.offsetParent) {
        event.preventDefault();
        field.focus();
      }
    }
  });
}

localTimes(document);
copyButtons(document);
selfSending(document);
closingMenus();
document.addEventListener("htmx:load", (event) => localTimes(event.detail.elt));
