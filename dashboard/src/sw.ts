/**
 * The service worker: it makes the page an app that opens at once, and shows notifications on phones.
 *
 * It keeps the page's own files, and nothing else: no answer of the API and no message is ever stored.
 */

import type { ExtendableEvent, FetchEvent, NotificationEvent, WorkerScope } from "./sw-scope";

const scope = self as unknown as WorkerScope;
const CACHE = "telex-1";

scope.addEventListener("install", (event: ExtendableEvent) => {
  event.waitUntil(keepPage());
  void scope.skipWaiting();
});

scope.addEventListener("activate", (event: ExtendableEvent) => {
  event.waitUntil(takeOver());
});

scope.addEventListener("fetch", (event: FetchEvent) => {
  const address = new URL(event.request.url);
  const root = new URL("./", scope.registration.scope);
  if (event.request.method !== "GET" || address.origin !== root.origin) return;
  const path = address.pathname.slice(root.pathname.length);
  // Names of assets have their content's hash in them: what is there is right.
  if (path.startsWith("assets/") || path.startsWith("icon")) event.respondWith(fromCache(event.request));
  else if (path === "" && event.request.mode === "navigate") event.respondWith(fromBroker(event.request));
});

scope.addEventListener("notificationclick", (event: NotificationEvent) => {
  event.notification.close();
  event.waitUntil(show(String(event.notification.data?.topic ?? "")));
});

/** Throw away what another version of this file kept, and serve pages that are already open. */
async function takeOver(): Promise<void> {
  for (const name of await caches.keys()) if (name !== CACHE) await caches.delete(name);
  await scope.clients.claim();
}

/** The page and what it names, so that it opens without the broker from the first time on. */
async function keepPage(): Promise<void> {
  const cache = await caches.open(CACHE);
  const page = await fetch("./", { cache: "no-cache" });
  const assets = (await page.clone().text()).match(/\.\/(assets|icon)[^"]+/g) ?? [];
  await cache.addAll(assets);
  await cache.put("./", page);
}

async function fromCache(request: Request): Promise<Response> {
  const kept = await caches.match(request);
  if (kept !== undefined) return kept;
  const response = await fetch(request);
  if (response.ok) await keep(request, response.clone());
  return response;
}

async function fromBroker(request: Request): Promise<Response> {
  try {
    const response = await fetch(request);
    if (response.ok) {
      await forgetAssets(await response.clone().text());
      await keep(request, response.clone());
    }
    return response;
  } catch (error) {
    // Without the broker the page opens all the same, and says that it is not connected.
    const kept = await caches.match("./");
    if (kept !== undefined) return kept;
    throw error;
  }
}

async function keep(request: Request, response: Response): Promise<void> {
  const cache = await caches.open(CACHE);
  await cache.put(request, response);
}

/** Files of an older page go when a page comes that is another one. */
async function forgetAssets(page: string): Promise<void> {
  const cache = await caches.open(CACHE);
  const former = await (await cache.match("./"))?.text();
  if (former === undefined || former === page) return;
  for (const request of await cache.keys()) await cache.delete(request);
}

async function show(topic: string): Promise<void> {
  const address = new URL(`./#/topics?${new URLSearchParams({ topic })}`, scope.registration.scope).href;
  const [open] = await scope.clients.matchAll({ type: "window" });
  if (open === undefined) await scope.clients.openWindow(address);
  else await (await open.navigate(address))?.focus();
}
