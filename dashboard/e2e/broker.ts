/** A broker, on free ports of this machine. */

import { spawn, type ChildProcess } from "node:child_process";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import mqtt, { type MqttClient } from "mqtt";

const PYTHON = process.env["E2E_PYTHON"] ?? "../.venv/bin/python";
const START_MS = 30_000;

export interface User {
  readonly name: string;
  readonly password: string;
}

interface Options {
  /** More of telex.toml. */
  readonly config?: string;
  readonly users?: readonly User[];
  /** Otherwise free ones. */
  readonly ports?: { readonly mqtt: number; readonly web: number };
}

export class Broker {
  private process: ChildProcess | null = null;
  /** Where the page is, with a slash at its end. */
  page = "";
  port = 0;

  private constructor(
    private readonly directory: string,
    private readonly options: Options,
  ) {}

  static async start(options: Options = {}): Promise<Broker> {
    const broker = new Broker(await mkdtemp(join(tmpdir(), "telex-page-")), options);
    broker.port = options.ports?.mqtt ?? 0;
    for (const [i, user] of (options.users ?? []).entries()) {
      const create = i === 0 ? ["-c"] : [];
      await run(["passwd", ...create, "-b", join(broker.directory, "users"), user.name, user.password]);
    }
    await broker.begin();
    return broker;
  }

  /** End it, and begin it again on the same ports. What it keeps is on disk. */
  async restart(whileGone: () => Promise<void>): Promise<void> {
    await this.end();
    await whileGone();
    await this.begin();
  }

  async stop(): Promise<void> {
    await this.end();
    await rm(this.directory, { recursive: true });
  }

  /** Its process. */
  get pid(): number {
    const pid = this.process?.pid;
    if (pid === undefined) throw new Error("the broker does not run");
    return pid;
  }

  async client(clientId?: string, user?: User): Promise<MqttClient> {
    const options = {
      protocolVersion: 5,
      reconnectPeriod: 0,
      ...(clientId === undefined ? {} : { clientId }),
      ...(user === undefined ? {} : { username: user.name, password: user.password }),
    } as const;
    return mqtt.connectAsync(`mqtt://127.0.0.1:${this.port}`, options);
  }

  private async begin(): Promise<void> {
    const file = join(this.directory, "telex.toml");
    const webPort = this.page === "" ? (this.options.ports?.web ?? 0) : Number(new URL(this.page).port);
    const access = this.options.users === undefined ? "" : `[access]\npassword_file = "users"\n`;
    await writeFile(
      file,
      `data = "data"\n${access}[[listeners]]\nhost = "127.0.0.1"\nport = ${this.port}\n` +
        `[web]\nenabled = true\nport = ${webPort}\nadministrators = ["ann"]\n${this.options.config ?? ""}`,
    );
    const child = spawn(PYTHON, ["-m", "telex", "serve", "-c", file], { stdio: ["ignore", "pipe", "pipe"] });
    this.process = child;
    const said = await new Promise<string>((resolve, reject) => {
      let text = "";
      child.stderr?.on("data", (part: Buffer) => (text += part.toString()));
      const timer = setTimeout(() => reject(new Error(`the broker did not start: ${text}`)), START_MS);
      child.once("exit", (code) => reject(new Error(`the broker ended with ${code}: ${text}`)));
      child.stdout?.on("data", (part: Buffer) => {
        text += part.toString();
        if (!/page\s+http\S+[\s\S]*stop\s/.test(text)) return;
        clearTimeout(timer);
        resolve(text);
      });
    });
    this.page = /page\s+(http\S+)/.exec(said)?.[1] ?? "";
    this.port = Number(/mqtt:\/\/127\.0\.0\.1:(\d+)/.exec(said)?.[1]);
  }

  private async end(): Promise<void> {
    const child = this.process;
    this.process = null;
    if (child === null || child.exitCode !== null) return;
    child.removeAllListeners("exit");
    const ended = new Promise((resolve) => child.once("exit", resolve));
    child.kill("SIGTERM");
    await ended;
  }
}

async function run(command: readonly string[]): Promise<void> {
  const child = spawn(PYTHON, ["-m", "telex", ...command], { stdio: ["ignore", "ignore", "inherit"] });
  const code = await new Promise((resolve) => child.once("exit", resolve));
  if (code !== 0) throw new Error(`telex ${command[0]} ended with ${String(code)}`);
}
