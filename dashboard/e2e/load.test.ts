/**
 * What the page holds, and what it costs the broker: `npm run load`, on Linux.
 *
 * A hundred thousand topics at five thousand messages a second for a minute, with the page open and clicked at; then the
 * broker's throughput at QoS 0 with the page open and without it, in turns. Times and ratios are printed, since they are
 * the machine's as well as ours; asserted is that nothing is lost, and the memory.
 */

import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { cpus, tmpdir } from "node:os";
import { join } from "node:path";
import type { MqttClient } from "mqtt";
import type { Browser, Page } from "playwright-core";
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from "vitest";
import { Broker } from "./broker";
import { launch, openPage } from "./browser";

const TOPICS = 100_000;
const RATE = 5_000;
const SECONDS = 60;
const TICK_MS = 20;
const MOST_BYTES = 300 * 1024 * 1024;
const ROUNDS = Number(process.env["ROUNDS"] ?? 5);

let tools: string;
let browser: Browser;
let broker: Broker;

/** The broker has a core to itself, where there are two: the browser and the load share the others. */
function pin(pid: number, cores: string): void {
  if (cpus().length > 1) execFileSync("taskset", ["-acp", cores, String(pid)], { stdio: "ignore" });
}

beforeAll(async () => {
  tools = mkdtempSync(join(tmpdir(), "telex-load-"));
  execFileSync("cc", ["-O2", "-DNO_TLS", "-o", join(tools, "load"), "../benchmarks/load.c"]);
  pin(process.pid, `1-${cpus().length - 1}`); // and what we start
  browser = await launch();
});
afterAll(async () => {
  await browser.close();
  rmSync(tools, { recursive: true });
});
beforeEach(async () => {
  broker = await Broker.start();
  pin(broker.pid, "0");
});
afterEach(() => broker.stop());

const online = (page: Page) => page.locator(".connection").getByText("Connected", { exact: true }).waitFor();
const median = (values: readonly number[]): number => [...values].sort((a, b) => a - b)[values.length >> 1];

/** Milliseconds from a click on a line to the frame in which what it opens is there. */
function clickTime(page: Page, index: number): Promise<number> {
  return page.evaluate(async (index) => {
    const row = document.querySelectorAll<HTMLElement>("[role=treeitem]")[index];
    const topic = row.title;
    const begun = performance.now();
    row.click();
    while (document.querySelector(".panel-topic")?.textContent !== topic) {
      await new Promise((resolve) => requestAnimationFrame(resolve));
    }
    return performance.now() - begun;
  }, index);
}

/** Bytes of memory that are the tab's own: its process draws no other page. What it shares, such as Chromium's code, is not. */
function ownBytes(): number {
  const sizes = execFileSync("ps", ["-eo", "pid,args"], { encoding: "utf8" })
    .split("\n")
    .filter((line) => line.includes("--type=renderer"))
    .map((line) => readFileSync(`/proc/${line.trim().split(/\s+/)[0]}/status`, "utf8"))
    .map((status) => Number(/RssAnon:\s+(\d+) kB/.exec(status)?.[1]) * 1024);
  return Math.max(...sizes);
}

const mib = (bytes: number): string => `${(bytes / 1024 / 1024).toFixed(0)} MiB`;

async function send(sender: MqttClient, count: number, each: (sent: number) => void, between: (tick: number) => Promise<void>): Promise<void> {
  const begun = Date.now();
  let sent = 0;
  for (let tick = 0; sent < count; tick++) {
    const due = Math.min(count, ((Date.now() - begun) * RATE) / 1000);
    for (; sent < due; sent++) each(sent);
    await between(tick);
    await new Promise((resolve) => setTimeout(resolve, TICK_MS));
  }
  await sender.publishAsync("plant/end", "1", { qos: 1 });
}

test("a hundred thousand topics at five thousand messages a second", { timeout: 240_000 }, async () => {
  const { page, complaints } = await openPage(await browser.newContext({ viewport: { width: 1280, height: 800 } }), `${broker.page}#/topics`);
  await online(page);
  const sender = await broker.client("flood");
  const clicks: number[] = [];
  const publish = (i: number): void => {
    const machine = (i * 7919) % TOPICS;
    sender.publish(`plant/hall${machine % 10}/machine${machine}`, `{"temp": ${20 + (i % 50) / 10}, "n": ${i}}`);
  };
  await send(sender, RATE * SECONDS, publish, async (tick) => {
    // Branches, and topics in those that were open from the beginning, with ten thousand lines each in the end.
    if (tick % 25 === 24) clicks.push(await clickTime(page, (tick / 25) % 10 | 0));
  });
  await page.locator('[role=treeitem][title="plant"]').click();
  const facts = page.locator(".panel .facts");
  await facts.getByText(`${(RATE * SECONDS + 1).toLocaleString("en")} messages`).waitFor(); // none is lost
  await facts.getByText(`${(TOPICS + 1).toLocaleString("en")} topics`).waitFor();
  const session = await page.context().newCDPSession(page);
  const own = ownBytes();
  await session.send("HeapProfiler.collectGarbage");
  const used = (await session.send("Runtime.getHeapUsage")) as { usedSize: number; backingStorageSize?: number };
  const bytes = used.usedSize + (used.backingStorageSize ?? 0);
  clicks.sort((a, b) => a - b);
  console.log(`the tab: ${mib(own)} of its own, with what is yet to be collected; of that JavaScript's, after collecting: ${mib(bytes)}`);
  console.log(
    `${clicks.length} clicks: median ${median(clicks).toFixed(0)} ms, 95 % ${clicks[(clicks.length * 0.95) | 0].toFixed(0)} ms, ` +
      `slowest ${clicks[clicks.length - 1].toFixed(0)} ms`,
  );
  await sender.endAsync();
  await page.context().close();
  expect(complaints).toEqual([]);
  expect(own).toBeLessThan(MOST_BYTES);
});

interface Flood {
  /** Messages a second that arrived. */
  readonly value: number;
  /** Of a core, that the broker used. */
  readonly broker_cpu: number;
}

/** As many QoS 0 messages as go through, from ten publishers to ten subscribers. */
function flood(): Flood {
  const flags = ["--port", String(broker.port), "--publishers", "10", "--subscribers", "10", "--qos", "0", "--seconds", "4"];
  const said = execFileSync(join(tools, "load"), ["flood", ...flags, "--watch", String(broker.pid)], { encoding: "utf8" });
  return JSON.parse(said.trim().split("\n").at(-1) ?? "") as Flood;
}

test("throughput at QoS 0 with the page open", { timeout: 240_000 }, async () => {
  const context = await browser.newContext({ viewport: { width: 1280, height: 800 } });
  const ratios = { rate: [] as number[], cost: [] as number[] };
  flood(); // both begin warm
  for (let round = 0; round < ROUNDS; round++) {
    const alone = flood();
    const { page } = await openPage(context, `${broker.page}#/topics`);
    await online(page);
    const beside = flood();
    await page.locator("[role=treeitem]").first().waitFor(); // it did listen
    await page.close();
    ratios.rate.push(beside.value / alone.value);
    ratios.cost.push(beside.value / beside.broker_cpu / (alone.value / alone.broker_cpu));
    console.log(
      `round ${round + 1}: ${Math.round(alone.value).toLocaleString("en")} messages/s alone, ` +
        `${Math.round(beside.value).toLocaleString("en")} with the page`,
    );
  }
  console.log(`with the page: ${median(ratios.rate).toFixed(3)} of the messages/s, ${median(ratios.cost).toFixed(3)} of the messages per CPU second`);
  console.log(`broker: ${readFileSync(`/proc/${broker.pid}/cmdline`, "utf8").replaceAll("\0", " ")}`);
  await context.close();
});
