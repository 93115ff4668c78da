/**
 * Pictures of each view, light, dark and on a phone, for the documents: `make screenshots`.
 *
 * They need the ports 1883 and 8080, and 8884 for a remote broker, which stand in them. Where pngquant is, they get small.
 */

import { spawnSync } from "node:child_process";
import { mkdir, readdir } from "node:fs/promises";
import { join } from "node:path";
import type { MqttClient } from "mqtt";
import type { Browser, BrowserContext, Page } from "playwright-core";
import { afterAll, beforeAll, test } from "vitest";
import { Broker } from "./broker";
import { launch, openPage } from "./browser";

const PLACE = process.env["SCREENSHOTS"] ?? "../docs/images";
const ROOMS = { "room1/storeroom": 16, "room1/office": 21.5, "room2/kitchen": 22.5, "room2/bathroom": 23.5, outside: 8 };
const LIFE_MS = 65_000; // of the house before the pictures: charts show a minute
const TICK_MS = 1000;

const USERS = [
  { name: "ann", password: "secret-a" },
  { name: "house", password: "secret-h" },
  { name: "guest", password: "secret-g" },
];
const RULES = `
names = ["broker.home"]

[[access.rules]]
users = ["ann", "house"]
allow = ["publish", "subscribe"]

[[access.rules]]
users = ["guest"]
allow = ["subscribe"]
topics = ["home/temp/#"]
`;

const BRIDGES = `
[[bridges]]
name = "cloud"
addresses = ["mqtt://localhost:8884"]
client_id = "house7"
topics = [{ pattern = "home/#", direction = "both", qos = 1 }]

[[bridges]]
name = "headquarters"
addresses = ["mqtt://localhost:8885"]
client_id = "line4"
restart_first = 30.0
topics = [{ pattern = "home/temp/#", qos = 1 }]
`;
const BRIDGES_LIFE_MS = 32_000; // what their lines show

const VIEWS: Readonly<Record<string, string>> = {
  overview: "overview",
  topics: "topics?topic=home%2Ftemp%2Froom2%2Fkitchen",
  publish: "publish?topic=home%2Ftemp%2Fattic",
  clients: "clients",
  connect: "connect",
};
/** They have charts, and need to be open for a while. */
const LIVELY: readonly string[] = ["overview", "topics"];
/** Where the mouse points to nothing. */
const WIDE_OF = { x: 300, y: 2 };
const LOOKS = {
  light: { colorScheme: "light", viewport: { width: 1280, height: 800 } },
  dark: { colorScheme: "dark", viewport: { width: 1280, height: 800 } },
  phone: { colorScheme: "light", viewport: { width: 360, height: 740 }, hasTouch: true, isMobile: true, deviceScaleFactor: 2 },
} as const;

let browser: Browser;
let broker: Broker;
const house: MqttClient[] = [];
let timer: ReturnType<typeof setInterval>;

/** A house that does the same each time, so that pictures change only when the page does. */
function live(sensors: readonly MqttClient[]): void {
  let step = 0;
  timer = setInterval(() => {
    step++;
    for (const [i, [room, start]] of Object.entries(ROOMS).entries()) {
      const value = start + Math.sin(step / 9 + i) * 0.8 + Math.sin(step / 2.3 + i) * 0.15;
      sensors[i].publish(`home/temp/${room}`, value.toFixed(1), { retain: true });
    }
    if (step % 4 === 0) sensors[step % 5].publish(`home/motion/${Object.keys(ROOMS)[step % 5]}`, "on", { qos: 1 });
    if (step % 10 === 1) {
      const weather = { wind: { speed: 3.5, from: "west" }, rain: false };
      sensors[4].publish("home/weather", JSON.stringify(weather), { retain: true });
    }
  }, TICK_MS);
}

beforeAll(async () => {
  await mkdir(PLACE, { recursive: true });
  browser = await launch(["--host-resolver-rules=MAP broker.home 127.0.0.1"]);
  broker = await Broker.start({ users: USERS, config: RULES, ports: { mqtt: 1883, web: 8080 } });
  const sensors = await Promise.all(Object.keys(ROOMS).map((room) => broker.client(`sensor-${room.replace("/", "-")}`, USERS[1])));
  const logbook = await broker.client("logbook", USERS[1]);
  await logbook.subscribeAsync("home/#", { qos: 1 });
  const guest = await broker.client("tablet", USERS[2]);
  await guest.subscribeAsync("home/temp/#", { qos: 0 });
  guest.on("error", () => undefined);
  guest.publish("home/door", "open", { qos: 1 }, () => undefined); // which is refused
  house.push(...sensors, logbook, guest);
  live(sensors);
});
afterAll(async () => {
  clearInterval(timer);
  await Promise.all(house.map((client) => client.endAsync()));
  await browser.close();
  await broker.stop();
});

async function signIn(page: Page): Promise<void> {
  await page.getByLabel("User name").fill("ann");
  await page.getByLabel("Password").fill("secret-a");
  await page.getByRole("button", { name: "Sign in" }).click();
  await page.locator(".connection").getByText("Connected", { exact: true }).waitFor();
}

/** Bring a view to where it has something to show. */
async function act(view: string, page: Page): Promise<void> {
  await page.bringToFront();
  if (view === "publish") {
    await page.getByLabel("Payload", { exact: true }).fill("19.5");
    await page.getByLabel("QoS").selectOption("1");
    await page.getByRole("button", { name: "Publish", exact: true }).click();
    await page.locator(".sent-one").waitFor();
    await page.locator(".toast").waitFor({ state: "detached" });
  }
  if (view === "clients") {
    await page.getByRole("button", { name: /^sensor-room2-kitchen/ }).click();
    await page.locator(".panel .facts").waitFor();
  }
  if (view === "overview") await page.locator(".events li").first().waitFor();
  if (view === "connect") await page.locator(".qr").waitFor();
}

interface Shot {
  readonly look: keyof typeof LOOKS;
  readonly view: string;
  readonly page: Page;
  readonly context: BrowserContext;
}

async function begin(look: keyof typeof LOOKS, view: string): Promise<Shot> {
  // By a name, where the way of a phone to the page is shown; elsewhere by the address that may notify.
  const address = view === "connect" ? broker.page.replace("127.0.0.1", "broker.home") : broker.page;
  const context = await browser.newContext(LOOKS[look]);
  const { page } = await openPage(context, `${address}#/${VIEWS[view]}`);
  await signIn(page);
  return { look, view, page, context };
}

async function finish({ look, view, page, context }: Shot): Promise<void> {
  await act(view, page);
  if (view === "overview" && look !== "phone") await page.setViewportSize({ width: 1280, height: 1060 });
  await page.mouse.move(WIDE_OF.x, WIDE_OF.y);
  await page.waitForTimeout(2 * TICK_MS); // what is drawn goes on
  await page.screenshot({ path: join(PLACE, `${view}-${look}.png`) });
  await context.close();
}

test("pictures", { timeout: 250_000 }, async () => {
  const looks = Object.keys(LOOKS) as (keyof typeof LOOKS)[];
  const lively: Shot[] = [];
  for (const look of looks) for (const view of LIVELY) lively.push(await begin(look, view));
  await new Promise((resolve) => setTimeout(resolve, LIFE_MS));
  for (const shot of lively) await finish(shot);
  for (const look of looks) {
    for (const view of Object.keys(VIEWS)) if (!LIVELY.includes(view)) await finish(await begin(look, view));
  }
  await shrink();
});

test("a picture of the bridges", { timeout: 120_000 }, async () => {
  const cloud = await Broker.start({ ports: { mqtt: 8884, web: 0 } });
  const branch = await Broker.start({ config: BRIDGES });
  const near = await branch.client();
  const far = await cloud.client();
  let step = 0;
  const tick = setInterval(() => {
    step++;
    for (let i = 0; i < 6 + 4 * Math.sin(step / 9); i++) near.publish(`home/temp/room${i}`, `${20 + i / 2}`, { qos: 1 });
    for (let i = 0; i < 2 + 1.5 * Math.sin(step / 5); i++) far.publish(`home/orders/${i}`, "on", { qos: 1 });
  }, TICK_MS / 2);
  const shots: Shot[] = [];
  for (const look of ["light", "dark"] as const) {
    const context = await browser.newContext(LOOKS[look]);
    shots.push({ look, view: "bridges", context, page: (await openPage(context, branch.page)).page });
  }
  await new Promise((resolve) => setTimeout(resolve, BRIDGES_LIFE_MS));
  for (const { look, page, context } of shots) {
    await page.bringToFront();
    await page.locator(".bridge summary").first().click();
    await page.mouse.move(WIDE_OF.x, WIDE_OF.y);
    await page.waitForTimeout(2 * TICK_MS); // what is drawn goes on
    await page.locator(".bridges").screenshot({ path: join(PLACE, `bridges-${look}.png`) });
    await context.close();
  }
  clearInterval(tick);
  await Promise.all([near.endAsync(), far.endAsync()]);
  await Promise.all([branch.stop(), cloud.stop()]);
  await shrink();
});

async function shrink(): Promise<void> {
  const files = (await readdir(PLACE)).filter((name) => name.endsWith(".png")).map((name) => join(PLACE, name));
  spawnSync("pngquant", ["--force", "--ext", ".png", "--skip-if-larger", "--strip", "--speed", "1", "64", ...files]);
}
