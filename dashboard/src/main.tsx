/** Where the page begins. */

// First, so that the views' own styles come after them, and win.
import "./style/tokens.css";
import "./style/base.css";
import "./style/shell.css";
import "./style/parts.css";
import { render } from "preact";
import { App } from "./app";
import { makePage, PageContext } from "./page";

const page = makePage(new URL(".", location.href).href);
const place = document.getElementById("page");
if (place === null) throw new Error("index.html has no place for the page");

render(
  <PageContext.Provider value={page}>
    <App />
  </PageContext.Provider>,
  place,
);
void page.session.start();

if ("serviceWorker" in navigator && import.meta.env.PROD) {
  // Without one (plain HTTP from another machine) the page works as well, only it cannot be installed.
  navigator.serviceWorker.register("./sw.js").catch(() => undefined);
}
