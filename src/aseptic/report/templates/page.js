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
const folded = () => [...document.querySelectorAll("details:not([open])")];
let opened = [];
addEventListener("beforeprint", () => { opened = folded(); for (const part of opened) part.open = true; });
addEventListener("afterprint", () => { for (const part of opened) part.open = false; });
