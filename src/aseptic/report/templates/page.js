"use strict";
document.documentElement.classList.add("js");
for (const box of document.querySelectorAll("[data-compare]")) {
  const input = box.querySelector("input");
  const show = () => {
    box.style.setProperty("--share", input.value + "%");
    input.setAttribute("aria-valuetext", input.value + " % untouched, " + (100 - input.value) + " % attacked");
  };
  input.addEventListener("input", show);
  show();
}
const reach = new ResizeObserver((entries) => {
  for (const { target } of entries) {
    if (target.scrollWidth > target.clientWidth) target.tabIndex = 0;
    else target.removeAttribute("tabindex");
  }
});
for (const table of document.querySelectorAll(".scroll")) reach.observe(table);
const folded = () => [...document.querySelectorAll("details:not([open])")];
let opened = [];
addEventListener("beforeprint", () => { opened = folded(); for (const part of opened) part.open = true; });
addEventListener("afterprint", () => { for (const part of opened) part.open = false; });
