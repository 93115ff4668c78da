// @vitest-environment happy-dom
/** The views, against a broker that stands in: what people see and do. */
import axe from "axe-core";
import { render } from "preact";
import { act } from "preact/test-utils";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { App } from "../src/app";
import { PageContext } from "../src/page";
import { BRIDGE, CLIENT, makeWorld, type World } from "./fakes";

// Charts draw on a canvas, which is not here; what they are given is what counts.
const drawn = vi.hoisted((): { data: unknown }[] => []);
vi.mock("uplot", () => ({
  default: class {
    constructor(_options: unknown, data: unknown) {
      drawn.push({ data });
    }
    setData(data: unknown): void {
      drawn.push({ data });
    }
    setSize(): void {}
    destroy(): void {}
  },
}));

let world: World;
let place: HTMLElement;

async function settle(): Promise<void> {
  await act(async () => {
    dispatchEvent(new Event("hashchange")); // here it comes by a real timer otherwise, and time stands still
    await vi.advanceTimersByTimeAsync(300);
  });
}

async function open(hash: string): Promise<void> {
  location.hash = hash;
  dispatchEvent(new Event("hashchange"));
  await act(() => {
    render(
      <PageContext.Provider value={world.page}>
        <App />
      </PageContext.Provider>,
      place,
    );
  });
  await act(() => world.page.session.start());
  await settle();
}

const text = (): string => place.textContent ?? "";
function named(role: string, name: string | RegExp): HTMLElement {
  const all = [...document.querySelectorAll<HTMLElement>(role)];
  const found = all.find((each) => {
    const own = each.getAttribute("aria-label") ?? each.textContent?.trim() ?? "";
    return typeof name === "string" ? own === name : name.test(own);
  });
  if (found === undefined) throw new Error(`no ${role} is named ${name}; there are: ${all.map((each) => each.textContent).join(" | ")}`);
  return found;
}
async function click(element: HTMLElement): Promise<void> {
  await act(() => element.click());
  await settle(); // the address changes
  await settle(); // and what that opens asks the broker
}
async function type(element: Element, value: string): Promise<void> {
  await act(() => {
    (element as HTMLInputElement).value = value;
    element.dispatchEvent(new Event("input", { bubbles: true }));
  });
  await settle();
}
async function signIn(user: string, password: string): Promise<void> {
  (place.querySelector("[name=user]") as HTMLInputElement).value = user;
  (place.querySelector("[name=password]") as HTMLInputElement).value = password;
  await act(() => void place.querySelector("form")?.dispatchEvent(new Event("submit", { bubbles: true, cancelable: true })));
  await settle();
}
const rows = (): (string | null)[] => [...document.querySelectorAll("[role=treeitem] .row-name")].map((name) => name.textContent);

beforeEach(() => {
  vi.useFakeTimers({
    toFake: ["setTimeout", "clearTimeout", "setInterval", "clearInterval", "requestAnimationFrame", "performance", "Date"],
  });
  drawn.length = 0;
  world = makeWorld();
  place = document.createElement("div");
  document.body.append(place);
});
afterEach(() => {
  render(null, place);
  place.remove();
  vi.useRealTimers();
});

describe("signing in", () => {
  test("is asked for where the broker wants it, and gives MQTT the same name", async () => {
    world.broker.needsLogin = true;
    await open("#/overview");
    expect(text()).toContain("Sign in");
    // A browser that is asked for a name and a password by the broker itself opens a window of its own.
    expect(world.broker.asked.at(-1)?.token).toBe("none");
    await signIn("ann", "wrong");
    expect(place.querySelector("[role=alert]")?.textContent).toBe("Wrong user name or password.");
    await signIn("ann", "right");
    expect(world.link.opened).toEqual([{ user: "ann", password: "right" }]);
    expect(text()).toContain("Overview");
  });

  test("is needed again when the broker has forgotten us", async () => {
    await open("#/overview");
    world.broker.needsLogin = true;
    await act(async () => void (await vi.advanceTimersByTimeAsync(2000)));
    expect(text()).toContain("The broker has forgotten this login.");
  });

  test("loads the page anew for another user, and after signing out: nothing is left of what the one before saw", async () => {
    world.broker.needsLogin = true;
    await open("#/overview");
    await signIn("ann", "right");
    expect(world.restarts).toBe(0);
    world.broker.user = null;
    await act(async () => void (await vi.advanceTimersByTimeAsync(2000)));
    await signIn("bob", "right");
    expect(world.restarts).toBe(1);
    await act(() => world.page.session.signOut());
    expect(world.restarts).toBe(2);
  });

  test("is needed again when MQTT refuses us, as after a restart that forgot the cookie", async () => {
    await open("#/overview");
    await act(() => {
      world.link.problem.value = "Not authorized";
      world.link.state.value = "refused";
    });
    await settle();
    expect(place.querySelector("[role=alert]")?.textContent).toContain("Not authorized");
  });
});

describe("the topics", () => {
  test("are listened to only when they are looked at", async () => {
    await open("#/overview");
    expect(world.link.filters.value).not.toContain("#");
    await open("#/topics");
    expect(world.link.filters.value).toContain("#");
  });

  test("are not listened to any more when the page was hidden for a minute", async () => {
    await open("#/topics");
    const hide = vi.spyOn(document, "hidden", "get").mockReturnValue(true);
    document.dispatchEvent(new Event("visibilitychange"));
    await act(async () => void (await vi.advanceTimersByTimeAsync(59_000)));
    expect(world.link.filters.value).toContain("#");
    await act(async () => void (await vi.advanceTimersByTimeAsync(2000)));
    expect(world.link.filters.value).not.toContain("#");
    hide.mockReturnValue(false);
    document.dispatchEvent(new Event("visibilitychange"));
    expect(world.link.filters.value).toContain("#");
  });

  test("are not listened to any more when for a minute another view was shown", async () => {
    await open("#/topics");
    location.hash = "#/publish";
    await settle();
    expect(world.link.filters.value).toContain("#");
    await act(async () => void (await vi.advanceTimersByTimeAsync(61_000)));
    expect(world.link.filters.value).toEqual([]);
  });

  test("show values as they come", async () => {
    await open("#/topics");
    world.link.says("home/temp/room1", "21.5");
    world.link.says("home/temp/room2", "19");
    await settle();
    expect(rows()).toEqual(["home", "temp", "room1", "room2"]);
    expect(text()).toContain("21.5");
    world.link.says("home/temp/room1", "22.5");
    await settle();
    expect(text()).toContain("22.5");
  });

  test("are held while somebody reads, and lose nothing", async () => {
    await open("#/topics");
    world.link.says("a", "1");
    await settle();
    await click(named("button", "Hold the display"));
    world.link.says("a", "2");
    await settle();
    expect(place.querySelector(".row-value")?.textContent).toBe("1");
    await click(named("button", "Go on"));
    expect(place.querySelector(".row-value")?.textContent).toBe("2");
  });

  test("are found", async () => {
    await open("#/topics");
    world.link.says("home/kitchen", "1");
    world.link.says("home/office", "1");
    await settle();
    await type(place.querySelector("input[type=search]") as Element, "kit");
    expect(rows()).toEqual(["home", "kitchen"]);
    await act(() => void document.body.dispatchEvent(new KeyboardEvent("keydown", { key: "/", bubbles: true, cancelable: true })));
    expect(document.activeElement).toBe(place.querySelector("input[type=search]"));
    expect(text()).toContain("1 found of 2 topics");
  });

  test("are gone through with the keyboard", async () => {
    await open("#/topics");
    world.link.says("a/b", "1");
    world.link.says("c", "1");
    await settle();
    const tree = place.querySelector("[role=tree]") as HTMLElement;
    const press = async (key: string): Promise<void> => {
      await act(() => void tree.dispatchEvent(new KeyboardEvent("keydown", { key, bubbles: true, cancelable: true })));
    };
    await press("Home");
    await press("ArrowLeft");
    expect(rows()).toEqual(["a", "c"]);
    await press("ArrowRight");
    await press("ArrowDown");
    expect(document.getElementById(tree.getAttribute("aria-activedescendant") ?? "")?.textContent).toContain("b");
    await press("Enter");
    await settle();
    expect(world.page.watch.opened.value).toBe("a/b");
    expect(place.querySelector(".panel-topic")?.textContent).toBe("a/b");
    const panel = place.querySelector(".panel") as HTMLElement;
    panel.focus();
    await act(() => void panel.dispatchEvent(new KeyboardEvent("keydown", { key: "Escape", bubbles: true })));
    await settle(); // the panel goes
    await settle(); // and with the next frame the tree has the focus
    expect(place.querySelector(".panel")).toBeNull();
    expect(document.activeElement?.getAttribute("role")).toBe("tree");
  });

  test("have a chart of what came before they were opened, and of what comes", async () => {
    await open("#/topics");
    for (const value of ["20", "21"]) world.link.says("t", value);
    await settle();
    await click(place.querySelector("[role=treeitem]") as HTMLElement);
    world.link.says("t", "22");
    await settle();
    expect(drawn.at(-1)?.data).toMatchObject([expect.anything(), [20, 21, 22]]);
  });

  test("chart a number inside JSON that is clicked", async () => {
    await open("#/topics");
    world.link.says("t", '{"inside": {"temp": 20.5}, "name": "x"}');
    await settle();
    await click(place.querySelector("[role=treeitem]") as HTMLElement);
    await click(named("button", "inside.temp: 20.5, chart it"));
    world.link.says("t", '{"inside": {"temp": 21}}');
    await settle();
    expect(drawn.at(-1)?.data).toMatchObject([expect.anything(), [20.5, 21]]);
  });

  test("say who published a value, and when, as the broker tells it with the value", async () => {
    await open("#/topics");
    world.link.says("t", "on", { told: { client: "lamp", user: "bob", at: Date.now() - 60_000 } });
    await settle();
    await click(place.querySelector("[role=treeitem]") as HTMLElement);
    expect(named("section", "Topic t").textContent).toContain("by lamp (bob)");
  });

  test("count all messages for which the last of a period stands", async () => {
    await open("#/topics");
    expect(world.link.periods.get("#")).toBe(250);
    world.link.says("a/b", "1", { told: { messages: 12 } });
    await settle();
    expect(world.page.watch.store.messages).toBe(12);
  });

  test("are told of less often when very many come, and the page says so", async () => {
    await open("#/topics");
    for (let i = 0; i < 20_000; i++) world.link.says(`t${i % 10}`, "1");
    await act(async () => void (await vi.advanceTimersByTimeAsync(1000)));
    expect(world.link.periods.get("#")).toBe(1000);
    expect(text()).toContain("they take turns in showing their last values");
  });

  test("that are open are heard message by message, each once", async () => {
    await open("#/topics");
    world.link.says("t", "1");
    await settle();
    await click(place.querySelector("[role=treeitem]") as HTMLElement);
    expect(world.link.filters.value).toEqual(["#", "t"]);
    world.link.says("t", "2");
    world.link.says("t", "3");
    await settle();
    expect([...place.querySelectorAll(".message-value")].map((each) => each.textContent)).toEqual(["3", "2", "1"]);
    location.hash = "#/topics";
    await settle();
    expect(world.link.filters.value).toEqual(["#"]);
  });

  test("that are open and too loud are shown now and then, which is said", async () => {
    await open("#/topics?topic=t");
    for (let second = 0; second < 10; second++) {
      world.link.says("t", String(second), { told: { messages: 1000 } });
      await act(async () => void (await vi.advanceTimersByTimeAsync(1000)));
    }
    expect(world.link.filters.value).toEqual(["#"]);
    expect(text()).toContain("it shows the last one now and then");
  });

  test("say who published what is retained", async () => {
    world.broker.retained.set("t", "on");
    await open("#/topics");
    world.link.says("t", "on", { retained: true });
    await settle();
    await click(place.querySelector("[role=treeitem]") as HTMLElement);
    expect(text()).toContain("by sensor-1 (ann)");
  });

  test("lose the retained messages of a branch after these were counted", async () => {
    for (const topic of ["a/b", "a/c", "d"]) world.broker.retained.set(topic, "1");
    await open("#/topics");
    for (const topic of ["a/b", "a/c", "d"]) world.link.says(topic, "1", { retained: true });
    await settle();
    await click(place.querySelector("[role=treeitem]") as HTMLElement);
    await click(named("button", /^Remove retained/));
    expect(world.broker.asked.at(-1)?.query.get("dry_run")).toBe("true");
    expect(text()).toContain("The broker keeps 2 retained messages of a/#");
    await click(named("button", "Remove 2 messages"));
    expect([...world.broker.retained.keys()]).toEqual(["d"]);
    expect(world.broker.asked.find((asked) => asked.method === "DELETE" && asked.query.get("dry_run") === null)?.token).toBe("tok");
    expect(world.page.watch.store.retainedBelow(0)).toBe(1);
  });

  test("say what is cut, and get the whole", async () => {
    const long = "x".repeat(70_000);
    world.broker.retained.set("t", long);
    await open("#/topics");
    world.link.says("t", long, { retained: true });
    await settle();
    await click(place.querySelector("[role=treeitem]") as HTMLElement);
    expect(text()).toContain("The first 64 KiB of 68.4 KiB are here");
    await click(named("button", "Get the whole"));
    expect(text()).toContain("The first 20,000 of 70,000 characters.");
    await click(named("button", "Show all"));
    expect(place.querySelector(".payload-text")?.textContent?.length).toBe(70_000);
  });

  test("that are no text are shown as bytes", async () => {
    await open("#/topics");
    world.link.says("t", new Uint8Array([0, 1, 255]));
    await settle();
    await click(place.querySelector("[role=treeitem]") as HTMLElement);
    expect(place.querySelector(".hex")?.textContent).toContain("00 01 ff");
    await click(named("[role=tab]", "Text"));
    expect(text()).toContain("These bytes are not UTF-8 text");
  });
});

describe("publishing", () => {
  test("sends what was written, and lists it with the broker's answer", async () => {
    await open("#/publish?topic=home%2Ftemp%2Froom1");
    await type(place.querySelector("textarea") as Element, "23.5");
    await click(named("button", "Publish"));
    expect(world.link.published).toHaveLength(1);
    expect(world.link.published[0]).toMatchObject({ topic: "home/temp/room1", qos: 0, retain: false });
    expect(new TextDecoder().decode(world.link.published[0].payload)).toBe("23.5");
    expect(place.querySelector(".sent")?.textContent).toContain("home/temp/room1");
  });

  test("says no to what is no JSON before anything leaves", async () => {
    await open("#/publish?topic=a");
    await click(named("[role=tab]", "JSON"));
    await type(place.querySelector("textarea") as Element, "{");
    await click(named("button", "Publish"));
    expect(world.link.published).toHaveLength(0);
    expect(place.querySelector("textarea")?.getAttribute("aria-invalid")).toBe("true");
    expect(text()).toContain("This is no JSON");
  });

  test("shows the broker's refusal", async () => {
    world.link.receipt = { problem: "Publish error: Not authorized", isNobodySubscribed: false };
    await open("#/publish?topic=secret");
    await click(named("button", "Publish"));
    expect(place.querySelector(".sent .tag-refused")?.textContent).toBe("Publish error: Not authorized");
  });
});

describe("clients", () => {
  test("are shown with what they do, and disconnected", async () => {
    await open("#/clients");
    await click(named("button", /sensor-1/));
    expect(text()).toContain("home/#");
    expect(text()).toContain("2 queued, 1 in flight");
    await click(named("button", "Disconnect …"));
    await click(named("button", "Disconnect"));
    expect(world.broker.clients).toEqual([]);
    expect(text()).toContain("sensor-1 was disconnected.");
  });

  test("are banned by their address, without its port", async () => {
    await open("#/clients");
    await click(named("button", /sensor-1/));
    await click(named("button", "Ban …"));
    await click([...document.querySelectorAll<HTMLElement>("[name=whom]")][2]);
    await act(() => void document.querySelector("dialog form")?.dispatchEvent(new Event("submit", { bubbles: true, cancelable: true })));
    await settle();
    expect(world.broker.asked.find((asked) => asked.method === "POST")?.body).toEqual({ address: "10.0.0.7", seconds: 300, why: "" });
  });

  test("are for administrators", async () => {
    world.broker.isAdministrator = false;
    await open("#/clients");
    expect(text()).toContain("Only administrators");
    expect(world.broker.asked.some((asked) => asked.path.startsWith("/clients"))).toBe(false);
  });
});

describe("the overview", () => {
  test("asks while it is shown, draws rates, and stops when another view is", async () => {
    await open("#/overview");
    world.broker.info = { ...world.broker.info, statistics: { ...world.broker.info.statistics, messages_received: 1050 } };
    await act(async () => void (await vi.advanceTimersByTimeAsync(1000)));
    const rate = world.page.samples.columns.value.messagesIn.find((value) => value !== null && value > 0);
    expect(rate).toBeGreaterThan(40);
    expect(rate).toBeLessThan(60);
    expect(text()).toContain("up for 1 h 1 min");
    await open("#/publish");
    const asked = world.broker.asked.length;
    await act(async () => void (await vi.advanceTimersByTimeAsync(5000)));
    expect(world.broker.asked.length).toBe(asked);
  });

  test("says what was refused, and by which rule", async () => {
    world.broker.events = [
      {
        time: "2026-01-02T03:04:05Z",
        kind: "denied",
        client_id: "c1",
        user: "bob",
        address: "10.0.0.9",
        why: "may not publish",
        rule: "deny write #",
        count: 3,
      },
    ];
    await open("#/overview");
    const refused = named("section", "What was refused");
    expect(refused.textContent).toContain("c1");
    expect(refused.textContent).toContain("3 times");
    expect(refused.textContent).toContain("deny write #");
  });
});

describe("bridges", () => {
  const bridges = (): HTMLElement => named("section", "Bridges");
  const later = async (ms: number): Promise<void> => act(async () => void (await vi.advanceTimersByTimeAsync(ms)));

  test("are not spoken of where there are none", async () => {
    await open("#/overview");
    expect(world.broker.asked.some(({ path }) => path === "/bridges")).toBe(true);
    expect(place.querySelector(".bridges")).toBeNull();
  });

  test("are shown with what they carry, and with more when somebody wants to know", async () => {
    vi.setSystemTime(Date.parse("2026-01-02T04:09:05Z"));
    world.broker.bridges = [BRIDGE, { ...BRIDGE, name: "hq", queued: 1204, state: "idle", delay: 0 }];
    await open("#/overview");
    const [cloud, hq] = bridges().querySelectorAll(".bridge");
    expect(cloud.querySelector("summary")?.textContent).toBe(
      "cloudconnectedfor 1 h 5 minmqtts://cloud.example.org:8883In 6/min Out 12/s Waiting 0 In flight 3 Delay 12 ms ",
    );
    expect(hq.querySelector("summary")?.textContent).toMatch(/^hqidle.*Waiting 1,204 In flight 3 Delay – $/);
    expect(bridges().querySelector(".fault, .caution")).toBeNull();
    expect(cloud.querySelector("details")?.open).toBe(false);
    const facts = cloud.querySelector(".facts")?.textContent ?? "";
    for (const fact of ["MQTT 5.0, TLSv1.3", "house7", "local.house7", "50,000 messages, 4.8 MiB", "40 messages", "2 since the broker's start"]) {
      expect(facts).toContain(fact);
    }
  });

  test("say why they are not connected, and when they try again", async () => {
    vi.setSystemTime(Date.parse("2026-01-02T03:04:15Z"));
    const away = { ...BRIDGE, state: "waiting", queued: 5, reason: "no answer", next_attempt: "2026-01-02T03:04:27Z" } as const;
    world.broker.bridges = [away];
    await open("#/overview");
    expect(bridges().querySelector(".tag")?.textContent).toBe("not connected");
    expect(bridges().querySelector(".fault")?.textContent).toBe("No answer. It tries again in 12 s.");
    expect(bridges().querySelector(".figure.is-bad")?.textContent).toBe("Waiting 5 ");
    world.broker.bridges = [{ ...BRIDGE, reason: "no answer" }];
    await later(2000);
    expect(bridges().querySelector(".fault")).toBeNull();
    expect(bridges().querySelector(".facts")?.textContent).toContain("Last endno answer");
  });

  test("say what they may not subscribe to", async () => {
    const refused = { "a/#": "not authorized", "b/#": "not authorized", "c/#": "not authorized", "d/#": "quota exceeded" };
    world.broker.bridges = [{ ...BRIDGE, refused }];
    await open("#/overview");
    const told = bridges().querySelector(".caution")?.textContent ?? "";
    expect(told).toMatch(/^May not subscribe to a\/#: not authorized\./);
    expect(told).toContain("And 1 more.");
    expect(bridges().querySelector(".facts")?.textContent).toContain("d/#: quota exceeded");
  });

  test("are asked for while the overview is shown, stay open, and go when they are configured no more", async () => {
    world.broker.bridges = [BRIDGE];
    await open("#/overview");
    (bridges().querySelector("details") as HTMLDetailsElement).open = true;
    world.broker.bridges = [{ ...BRIDGE, queued: 77 }, { ...BRIDGE, name: "new" }];
    await later(2000);
    expect(bridges().querySelectorAll(".bridge")).toHaveLength(2);
    expect(text()).toContain("Waiting 77");
    expect((bridges().querySelector("details") as HTMLDetailsElement).open).toBe(true);
    world.broker.bridges = [];
    await later(2000);
    expect(place.querySelector(".bridges")).toBeNull();
    await open("#/publish");
    const asked = world.broker.asked.length;
    await later(10_000);
    expect(world.broker.asked).toHaveLength(asked);
  });

  test("are for administrators, and nobody else asks for them", async () => {
    world.broker.isAdministrator = false;
    world.broker.bridges = [BRIDGE];
    await open("#/overview");
    expect(world.broker.asked.some(({ path }) => path === "/bridges")).toBe(false);
    expect(place.querySelector(".bridges")).toBeNull();
  });

  test("are named among clients and sessions, and cannot be banned", async () => {
    world.broker.clients = [{ ...CLIENT, client_id: "local.house7", bridge: "cloud", user: null, listener: "" }, CLIENT];
    await open("#/clients");
    await click(named("button", /local.house7/));
    expect(named("button", /local.house7/).textContent).toContain("bridge cloud");
    const panel = named("section", "Client local.house7");
    expect(panel.querySelector(".facts")?.textContent).toMatch(/^BridgecloudRightsall that its topics sayTo10\.0\.0\.7:50312/);
    expect([...panel.querySelectorAll("button")].map((each) => each.textContent)).not.toContain("Ban …");
    await click(named("button", /sensor-1/));
    expect(named("button", "Ban …")).toBeDefined();
    world.broker.sessions = [
      { client_id: "local.house7", connected: false, bridge: "cloud", user: null, session_expiry: null, ends: null, subscriptions: 1, queued: 3, in_flight: 0, dropped: 0 },
    ];
    await click(named("[role=tab]", "Sessions"));
    expect(place.querySelector(".entries li")?.textContent).toContain("local.house7awaybridge cloud3 waiting");
  });
});

describe("every view", () => {
  // What needs a layout, such as contrast, is looked at in a real browser.
  const rules = { "color-contrast": { enabled: false }, "target-size": { enabled: false } };

  async function faults(): Promise<string[]> {
    vi.useRealTimers(); // axe waits by itself
    const { violations } = await axe.run(document.body, { rules });
    return violations.map(({ id, nodes }) => `${id}: ${nodes.map((node) => node.html).join(" ")}`);
  }

  beforeEach(() => {
    document.documentElement.lang = "en";
    world.broker.bans = [
      { id: "1", address: "10.0.0.9", client_id: null, user: null, until: "2030-01-02T03:04:05Z", why: "failed logins", automatic: true },
    ];
    world.broker.events = [
      { time: "2026-01-02T03:04:05Z", kind: "connected", client_id: "c1", user: null, address: "10.0.0.9:1", why: "", rule: null, count: 1 },
    ];
    world.broker.bridges = [BRIDGE, { ...BRIDGE, name: "hq", state: "waiting", reason: "gone", refused: { "a/#": "no" } }];
    world.broker.sessions = [
      {
        client_id: "c1",
        connected: false,
        bridge: null,
        user: null,
        session_expiry: 60,
        ends: "2030-01-02T03:04:05Z",
        subscriptions: 1,
        queued: 3,
        in_flight: 0,
        dropped: 1,
      },
    ];
  });

  test.each(["#/overview", "#/topics", "#/publish", "#/clients", "#/connect"])("%s has no fault that axe finds", async (hash) => {
    await open(hash);
    if (hash === "#/topics") {
      world.link.says("home/t", '{"a": 1, "b": [true, null, "x"]}', { retained: true });
      await settle();
      await click([...document.querySelectorAll<HTMLElement>("[role=treeitem]")][1]);
      expect(place.querySelector(".json")).not.toBeNull();
    }
    if (hash === "#/clients") await click(named("button", /sensor-1/));
    expect(await faults()).toEqual([]);
  });

  test.each(["Sessions", "Bans"])("the list of %s has none either", async (tab) => {
    await open("#/clients");
    await click(named("[role=tab]", tab));
    expect(document.querySelectorAll(".entries li")).toHaveLength(1);
    expect(await faults()).toEqual([]);
  });

  test("nor has a question", async () => {
    await open("#/clients");
    await click(named("button", /sensor-1/));
    await click(named("button", "Ban …"));
    expect(document.querySelector("dialog")).not.toBeNull();
    expect(await faults()).toEqual([]);
  });

  test("nor has signing in", async () => {
    world.broker.needsLogin = true;
    await open("#/overview");
    expect(await faults()).toEqual([]);
  });
});

describe("connecting a device", () => {
  test("has ready lines for the listener, by the name by which the page was reached", async () => {
    await open("#/connect");
    expect(place.querySelector("pre")?.textContent).toContain(`-p 1883`);
    await click(named("[role=tab]", "paho-mqtt"));
    expect(place.querySelector("pre")?.textContent).toContain("import paho.mqtt.client");
    expect(place.querySelector(".qr")?.getAttribute("aria-label")).toBe("QR code of http://broker.test/");
    expect(place.querySelector(".qr path")?.getAttribute("d")).toMatch(/^M4 4h1v1h-1z/);
  });

  test("has no QR code that would lead a phone to itself", async () => {
    await open("#/connect");
    await type(place.querySelector("input[type=url]") as Element, "http://127.0.0.1:8080/");
    expect(place.querySelector(".qr")).toBeNull();
    await type(place.querySelector("input[type=url]") as Element, "192.168.1.10:8080");
    expect(place.querySelector(".qr")?.getAttribute("aria-label")).toBe("QR code of http://192.168.1.10:8080/");
  });
});
