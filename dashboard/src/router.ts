/** Which view is shown: it stands behind the # of the address, so that links and the back button work. */

import { computed, signal } from "@preact/signals";

export const VIEWS = ["overview", "topics", "publish", "clients", "connect"] as const;
export type ViewName = (typeof VIEWS)[number];

export interface Route {
  readonly view: ViewName;
  readonly query: URLSearchParams;
}

/** What an address says; anything unknown is the overview. */
export function routeOf(hash: string): Route {
  const [path = "", query = ""] = hash.replace(/^#\/?/, "").split("?", 2);
  return { view: VIEWS.find((view) => view === path) ?? "overview", query: new URLSearchParams(query) };
}

export function hrefTo(view: ViewName, query: Readonly<Record<string, string>> = {}): string {
  const text = new URLSearchParams(query).toString();
  return `#/${view}${text === "" ? "" : `?${text}`}`;
}

const hash = signal(location.hash);
addEventListener("hashchange", () => (hash.value = location.hash));

export const route = computed(() => routeOf(hash.value));
