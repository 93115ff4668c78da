/** What people do with the page, in a browser, against a broker. */

import type { MqttClient } from "mqtt";
import type { Browser, BrowserContext, Page } from "playwright-core";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { faultsOf } from "./axe";
import { Broker } from "./broker";
import { launch, openPage } from "./browser";

const VIEWS = ["overview", "topics", "publish", "clients", "connect"] as const;
const BRANCH = 50_000;
const LONG_NAME = 30; // characters of one level
const USERS = [
  { name: "ann", password: "secret-a" },
  { name: "bob", password: "secret-b" },
];
const RULES = `
[[access.rules]]
users = ["ann"]
allow = ["publish", "subscribe"]

[[access.rules]]
users = ["bob"]
allow = ["publish", "subscribe"]
topics = ["home/bob/#"]
`;

/** A bridge that soon finds out what became of the remote broker. */
const bridgeTo = (name: string, address: string): string => `
[[bridges]]
name = "${name}"
addresses = ["${address}"]
client_id = "${name}"
restart_first = 0.1
restart_most = 0.1
topics = [{ pattern = "home/#", qos = 1 }]
`;
/** Nobody listens there: a program that is started by a user may not. */
const NOBODY = "mqtt://127.0.0.1:1";

let browser: Browser;
/** A broker with one bridge to the house, and one to nobody. */
let branch: Broker;
/** Most stories are of one house: they do not disturb each other. */
let house: Broker;
let context: BrowserContext;

beforeAll(async () => {
  [browser, house] = await Promise.all([launch(), Broker.start()]);
  const config = bridgeTo("house", `mqtt://127.0.0.1:${house.port}`) + bridgeTo("a-name-that-is-long-enough-for-anybody", NOBODY);
  branch = await Broker.start({ config });
});
afterAll(async () => {
  await Promise.all([browser.close(), house.stop(), branch.stop()]);
});

const row = (page: Page, topic: string) => page.locator(`[role=treeitem][title="${topic}"]`);
const online = (page: Page) => page.locator(".connection").getByText("Connected", { exact: true }).waitFor();

/** A broker for one story, which may do with it what it likes. */
async function withBroker(options: Parameters<typeof Broker.start>[0], story: (broker: Broker) => Promise<void>): Promise<void> {
  const broker = await Broker.start(options);
  try {
    await story(broker);
  } finally {
    await broker.stop();
  }
}

describe("the page", () => {
  beforeEach(async () => void (context = await browser.newContext({ viewport: { width: 1280, height: 800 } })));
  afterEach(() => context.close());

  test("sees values arrive, and charts them", async () => {
    const { page, complaints, strangers } = await openPage(context, `${house.page}#/topics`);
    const sensor = await house.client("sensor");
    await sensor.publishAsync("home/temp/room1", "21.5", { retain: true });
    await row(page, "home/temp/room1").getByText("21.5").waitFor();
    await sensor.publishAsync("home/temp/room1", "22.5", { retain: true });
    await row(page, "home/temp/room1").getByText("22.5").waitFor();
    await row(page, "home/temp/room1").click();
    await page.getByRole("img", { name: "Chart of 2 values, the last is 22.5" }).waitFor();
    await page.locator(".panel").getByText("by sensor").waitFor();
    await sensor.endAsync();
    expect(complaints).toEqual([]);
    expect(strangers).toEqual([]);
  });

  test("charts a number inside JSON that is clicked, and says who published it", async () => {
    const { page } = await openPage(context, `${house.page}#/topics?topic=home%2Fweather`);
    await online(page);
    const station = await house.client("station");
    await station.publishAsync("home/weather", '{"wind": {"speed": 3.5, "from": "west"}}', { retain: true }); // whenever it listens
    await page.getByRole("button", { name: "wind.speed: 3.5, chart it" }).click();
    await station.publishAsync("home/weather", '{"wind": {"speed": 4, "from": "west"}}');
    await page.getByRole("img", { name: "Chart of 2 values, the last is 4" }).waitFor();
    await page.locator(".panel").getByText("by station").waitFor();
    await station.endAsync();
  });

  test("notifies of a topic that somebody chose", async () => {
    await context.grantPermissions(["notifications"], { origin: new URL(house.page).origin });
    const { page } = await openPage(context, `${house.page}#/topics?topic=home%2Fdoor`);
    await page.evaluate(async () => void (await navigator.serviceWorker.ready));
    const door = await house.client("door");
    await door.publishAsync("home/door", "shut", { retain: true });
    await page.getByRole("button", { name: "Notify me …" }).click();
    await page.getByLabel("When").selectOption("any");
    await page.getByRole("button", { name: "Notify me", exact: true }).click();
    await page.getByText("home/door notifies as long as this page is open, also in the background.").waitFor();
    // Its subscription is there before an answer to a later packet of the same page is.
    await page.getByRole("link", { name: "Overview", exact: true }).click();
    await page.getByRole("img", { name: /^Latency: [0-9]/ }).waitFor();
    await door.publishAsync("home/door", "open", { qos: 1 });
    const shown = (): Promise<string[]> =>
      page.evaluate(async () => {
        const registration = await navigator.serviceWorker.ready;
        return (await registration.getNotifications()).map(({ title, body }) => `${title}: ${body}`);
      });
    await expect.poll(shown).toEqual(["home/door: open"]);
    await door.endAsync();
  });

  test("publishes", async () => {
    const listener = await house.client();
    await listener.subscribeAsync("garden/#", { qos: 1 });
    const came = new Promise<string>((resolve) => listener.on("message", (topic, payload) => resolve(`${topic} ${payload.toString()}`)));
    const { page } = await openPage(context, `${house.page}#/publish`);
    await page.getByLabel("Topic", { exact: true }).fill("garden/temp");
    await page.getByLabel("Payload", { exact: true }).fill("23.5");
    await page.getByLabel("QoS").selectOption("1");
    await page.getByRole("button", { name: "Publish", exact: true }).click();
    expect(await came).toBe("garden/temp 23.5");
    await page.locator(".sent").getByText("acknowledged").waitFor();
    await listener.endAsync();
  });

  test(`removes a retained branch of ${BRANCH} topics`, async () => {
    await withBroker({}, async (broker) => {
      const filler = await broker.client();
      for (let i = 0; i < BRANCH; i++) filler.publish(`plant/line${i % 100}/sensor${i}`, "1", { retain: true });
      await filler.publishAsync("kept", "1", { retain: true, qos: 1 }); // behind all others
      const { page } = await openPage(context, `${broker.page}#/topics`);
      await page.getByText("50,001 topics").waitFor();
      await row(page, "plant").click();
      await page.getByRole("button", { name: "Remove retained …" }).click();
      await page.getByRole("button", { name: "Remove 50,000 messages" }).click();
      await page.getByText("Removed 50,000 retained messages.").waitFor();
      const left: string[] = [];
      filler.on("message", (topic) => left.push(topic));
      await filler.subscribeAsync("#", { qos: 1 });
      await filler.publishAsync("end", "1", { qos: 1 });
      await expect.poll(() => left).toContain("end");
      expect(left).toEqual(["kept", "end"]);
      await filler.endAsync();
    });
  });

  test("disconnects a client", async () => {
    const client = await house.client("lamp");
    const gone = new Promise((resolve) => client.once("close", () => resolve(null)));
    const { page } = await openPage(context, `${house.page}#/clients`);
    await page.getByRole("button", { name: /^lamp/ }).click();
    await page.getByRole("button", { name: "Disconnect …" }).click();
    await page.getByRole("button", { name: "Disconnect", exact: true }).click();
    await gone;
    await page.getByText("lamp was disconnected.").waitFor();
  });

  test("shows how a bridge is, and where its messages wait while the remote broker is away", async () => {
    await withBroker({}, async (remote) => {
      await withBroker({ config: bridgeTo("cloud", `mqtt://127.0.0.1:${remote.port}`) }, async (broker) => {
        const { page, complaints } = await openPage(context, broker.page);
        const cloud = page.locator(".bridge");
        await cloud.getByText("connected", { exact: true }).waitFor();
        const sensor = await broker.client();
        await sensor.publishAsync("home/temp", "21.5", { qos: 1 });
        await cloud.locator("summary").focus();
        await page.keyboard.press("Enter");
        await cloud.getByText("in all 1 message,").waitFor();
        await remote.restart(async () => {
          await cloud.getByText(/^(not connected|connecting …)$/).waitFor();
          await sensor.publishAsync("home/temp", "22.5", { qos: 1 });
          await cloud.locator(".figure", { hasText: "Waiting" }).getByText("1", { exact: true }).waitFor();
          await cloud.locator(".fault").waitFor();
        });
        await cloud.getByText("in all 2 messages,").waitFor();
        await cloud.getByText("connected", { exact: true }).waitFor();
        expect(await cloud.locator("details").getAttribute("open")).not.toBeNull(); // as it was left
        expect(complaints).toEqual([]);
        await sensor.endAsync();
      });
    });
  });

  test("is refused what its user may not do", async () => {
    await withBroker({ users: USERS, config: RULES }, async (broker) => {
      const { page } = await openPage(context, `${broker.page}#/publish`);
      await page.getByLabel("User name").fill("bob");
      await page.getByLabel("Password").fill("secret-b");
      await page.getByRole("button", { name: "Sign in" }).click();
      await page.getByLabel("Topic", { exact: true }).fill("home/ann/door");
      await page.getByLabel("QoS").selectOption("1");
      await page.getByRole("button", { name: "Publish", exact: true }).click();
      await page.locator(".sent").getByText(/not authorized/i).waitFor();
      await page.getByRole("link", { name: "Clients" }).click();
      await page.getByText("Only administrators see clients.").waitFor();
      await page.reload(); // the cookie alone is enough now
      await online(page);
    });
  });

  test("survives a restart of the broker, and opens while there is none", async () => {
    await withBroker({}, async (broker) => {
      const { page } = await openPage(context, `${broker.page}#/topics`);
      await online(page);
      await page.evaluate(async () => void (await navigator.serviceWorker.ready)); // it has kept the page
      await broker.restart(async () => {
        await page.getByText("Not connected").waitFor();
        const another = await context.newPage();
        await another.goto(broker.page);
        await another.getByText("The broker does not answer.").waitFor();
      });
      await online(page);
      const sensor = await broker.client();
      await sensor.publishAsync("after", "1", { retain: true });
      await row(page, "after").waitFor();
      await sensor.endAsync();
    });
  });
});

/** What a view needs to have something to show. */
async function look(page: Page, view: (typeof VIEWS)[number], topic: string): Promise<void> {
  await page.goto(`${house.page}#/${view}${view === "topics" ? `?topic=${encodeURIComponent(topic)}` : ""}`);
  await online(page);
  await page.locator("h1").first().waitFor({ state: "attached" });
  if (view === "overview") await page.locator(".events li").first().waitFor();
  if (view === "topics") await page.locator(".json").waitFor();
  if (view === "clients") await page.locator(".entry").first().waitFor();
}

/** What else can be seen: a client, lists, a question, properties. */
const MORE: Readonly<Record<string, (page: Page) => Promise<void>>> = {
  "a client from near": async (page) => {
    await look(page, "clients", "");
    await page.locator(".entry").first().click();
    await page.locator(".panel .facts").waitFor();
  },
  bridges: async (page) => {
    await page.goto(branch.page);
    await page.locator(".bridge .tag-connected").waitFor();
    await page.locator(".bridge .fault").waitFor();
    await page.locator(".bridge summary").first().click();
    await page.locator(".bridge summary").last().click();
  },
  "a bridge from near": async (page) => {
    await page.goto(`${branch.page}#/clients`);
    await page.getByRole("button", { name: /^local.house/ }).click();
    await page.locator(".panel .facts").waitFor();
  },
  "the tree": async (page) => {
    await page.goto(`${house.page}#/topics`);
    await page.locator(".row-name").first().waitFor();
  },
  "the list of sessions": async (page) => {
    await look(page, "clients", "");
    await page.getByRole("tab", { name: "Sessions" }).click();
    await page.locator(".entry-line").first().waitFor();
  },
  "a question": async (page) => {
    await look(page, "clients", "");
    await page.locator(".entry").first().click();
    await page.getByRole("button", { name: "Ban …" }).click();
    await page.locator("dialog").waitFor();
  },
  "the properties of a message": async (page) => {
    await look(page, "publish", "");
    await page.getByText("Properties", { exact: true }).click();
    await page.getByRole("button", { name: "Add one" }).click();
  },
};

describe.each(["light", "dark"] as const)("in %s", (colorScheme) => {
  let page: Page;

  beforeAll(async () => {
    context = await browser.newContext({ viewport: { width: 1280, height: 800 }, colorScheme });
    const client = await house.client();
    await client.publishAsync("home/state", '{"temp": 21.5, "on": true}', { retain: true, qos: 1 });
    await client.endAsync();
    page = (await openPage(context, house.page)).page;
  });
  afterAll(() => context.close());

  test.each(VIEWS)("%s has no fault that axe finds", async (view) => {
    await look(page, view, "home/state");
    expect(await faultsOf(page)).toEqual([]);
  });

  test.each(Object.keys(MORE))("%s has none either", async (what) => {
    await look(page, "connect", ""); // so that no view is as another story has left it
    await MORE[what](page);
    expect(await faultsOf(page)).toEqual([]);
  });
});

describe("at a width of 360 pixels", () => {
  const topic = "home/temperature/living-room/by-the-window-that-faces-the-garden-and-the-old-apple-tree";
  let client: MqttClient;
  let page: Page;

  beforeAll(async () => {
    context = await browser.newContext({ viewport: { width: 360, height: 740 }, hasTouch: true, isMobile: true });
    client = await house.client("sensor-in-the-living-room-with-a-very-long-name-that-nobody-would-want-to-type");
    await client.publishAsync(topic, '{"temp": 21.5}', { retain: true, qos: 1 });
    page = (await openPage(context, house.page)).page;
  });
  afterAll(async () => {
    await Promise.all([client.endAsync(), context.close()]);
  });

  const cutOff = (): Promise<string[]> =>
    page.evaluate((LONG_NAME) => {
      const found: string[] = [];
      if (document.documentElement.scrollWidth > innerWidth) found.push("the page is wider than the screen");
      for (const element of document.querySelectorAll<HTMLElement>("#page *")) {
        // Lines of the tree end with … where a value, or a name as long as few are, does not fit: the panel has the whole.
        const isLong = (element.textContent?.length ?? 0) > LONG_NAME;
        if (element.classList.contains("row-value") || (element.classList.contains("row-name") && isLong)) continue;
        if (element.closest(".hidden-label, .hex, .skip, svg, canvas, .uplot") !== null || element.clientWidth === 0) continue;
        if (element.scrollWidth > element.clientWidth + 1 && getComputedStyle(element).display !== "inline") {
          found.push(`${element.tagName}.${element.className}: ${element.textContent?.slice(0, 60)}`);
        }
      }
      return found;
    }, LONG_NAME);

  test.each(VIEWS)("%s cuts no text off", async (view) => {
    await look(page, view, topic);
    expect(await cutOff()).toEqual([]);
  });

  test.each(Object.keys(MORE))("%s cuts none off either", async (what) => {
    await look(page, "connect", ""); // so that no view is as another story has left it
    await MORE[what](page);
    expect(await cutOff()).toEqual([]);
  });
});
