/** Where a device finds the broker, and lines that are ready to be pasted. Knows no screen. */

import type { ListenerInfo } from "../../api/contract";

export interface Target {
  readonly host: string;
  readonly port: number;
  readonly isTls: boolean;
  readonly user: string | null;
}

const THIS_MACHINE = new Set(["127.0.0.1", "::1", "localhost"]);
const ANY_ADDRESS = new Set(["0.0.0.0", "::", "*", ""]);

/** Host and port of a listener's address, such as `127.0.0.1:1883`, `[::1]:1883`, `mqtt://0.0.0.0:1883`. */
export function splitAddress(address: string): { host: string; port: number } | null {
  const found = /^(?:[a-z]+:\/\/)?(?:\[([^\]]+)\]|([^:/]*)):(\d+)(?:\/.*)?$/i.exec(address);
  return found === null ? null : { host: found[1] ?? found[2] ?? "", port: Number(found[3]) };
}

export function isLoopback(host: string): boolean {
  return THIS_MACHINE.has(host) || host.startsWith("127.");
}

/**
 * The listeners for plain MQTT as devices reach them, TLS first.
 *
 * A listener on all addresses is reached by the name by which this page was; one on another address, by that.
 */
export function targetsOf(listeners: readonly ListenerInfo[], pageHost: string, user: string | null): Target[] {
  const targets: Target[] = [];
  for (const listener of listeners) {
    if (listener.protocol.toLowerCase() !== "mqtt" && listener.protocol.toLowerCase() !== "mqtts") continue;
    const address = splitAddress(listener.address);
    if (address === null) continue; // a Unix socket
    const host = ANY_ADDRESS.has(address.host) ? pageHost : address.host;
    targets.push({ host, port: address.port, isTls: listener.tls, user });
  }
  return targets.sort((a, b) => Number(isLoopback(a.host)) - Number(isLoopback(b.host)) || Number(b.isTls) - Number(a.isTls));
}

export interface Snippet {
  readonly id: string;
  readonly title: string;
  readonly note: string;
  readonly text: (target: Target) => string;
}

const TOPIC = "home/temp/room1";
const SECRET = "PASSWORD";
const ESPHOME_AUTHORITY = [
  "  certificate_authority: |",
  "    -----BEGIN CERTIFICATE-----",
  "    (the text of ca.crt)",
  "    -----END CERTIFICATE-----",
];

const bracketed = (host: string): string => (host.includes(":") ? `[${host}]` : host);
const url = (target: Target): string => `${target.isTls ? "mqtts" : "mqtt"}://${bracketed(target.host)}:${target.port}`;
const shellUser = (target: Target): string => (target.user === null ? "" : ` -u ${shellWord(target.user)} -P ${SECRET}`);

/** A word of a shell's line. */
export function shellWord(word: string): string {
  return /^[\w@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", "'\\''")}'`;
}

export const SNIPPETS: readonly Snippet[] = [
  {
    id: "telex",
    title: "Telex",
    note: "In a terminal.",
    text: (target) => {
      const flags = `-h ${shellWord(target.host)} -p ${target.port}${shellUser(target)}${target.isTls ? " --cafile ca.crt" : ""}`;
      return `telex sub ${flags} -t 'home/#' -v\ntelex pub ${flags} -t ${TOPIC} -m 21.5`;
    },
  },
  {
    id: "python",
    title: "Telex (Python)",
    note: "pip install telex",
    text: (target) =>
      [
        "import asyncio",
        "",
        "import telex",
        "",
        "",
        "async def main() -> None:",
        `    async with telex.Client(${JSON.stringify(withLogin(target))}) as client:`,
        `        await client.publish("${TOPIC}", 21.5, qos=1)`,
        "",
        "",
        "asyncio.run(main())",
      ].join("\n"),
  },
  {
    id: "paho",
    title: "paho-mqtt",
    note: "pip install paho-mqtt",
    text: (target) =>
      [
        "import paho.mqtt.client as mqtt",
        "",
        "client = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2)",
        ...(target.user === null ? [] : [`client.username_pw_set(${JSON.stringify(target.user)}, "${SECRET}")`]),
        ...(target.isTls ? ["client.tls_set()"] : []),
        `client.connect(${JSON.stringify(target.host)}, ${target.port})`,
        "client.loop_start()",
        `client.publish("${TOPIC}", 21.5, qos=1).wait_for_publish()`,
      ].join("\n"),
  },
  {
    id: "mosquitto",
    title: "mosquitto_pub",
    note: "In a terminal.",
    text: (target) => {
      const flags = `-h ${shellWord(target.host)} -p ${target.port}${shellUser(target)}${target.isTls ? " --cafile ca.crt" : ""}`;
      return `mosquitto_sub ${flags} -t 'home/#' -v\nmosquitto_pub ${flags} -t ${TOPIC} -m 21.5`;
    },
  },
  {
    id: "esphome",
    title: "ESPHome",
    note: "In the device's YAML.",
    text: (target) =>
      [
        "mqtt:",
        `  broker: ${JSON.stringify(target.host)}`,
        `  port: ${target.port}`,
        ...(target.user === null ? [] : [`  username: ${JSON.stringify(target.user)}`, `  password: "${SECRET}"`]),
        ...(target.isTls ? ESPHOME_AUTHORITY : []),
      ].join("\n"),
  },
  {
    id: "tasmota",
    title: "Tasmota",
    note: "In the device's console.",
    text: (target) =>
      [
        "Backlog " +
          [
            `MqttHost ${target.host}`,
            `MqttPort ${target.port}`,
            ...(target.user === null ? [] : [`MqttUser ${target.user}`, `MqttPassword ${SECRET}`]),
            ...(target.isTls ? ["SetOption103 1"] : []),
          ].join("; "),
      ].join("\n"),
  },
  {
    id: "node-red",
    title: "Node-RED",
    note: "Menu, Import, paste: it makes the broker and a node that listens.",
    text: (target) =>
      JSON.stringify(
        [
          {
            id: "telexbroker01",
            type: "mqtt-broker",
            name: "Telex",
            broker: target.host,
            port: String(target.port),
            usetls: target.isTls,
            protocolVersion: "5",
            keepalive: "60",
            cleansession: true,
          },
          {
            id: "telexin01",
            type: "mqtt in",
            topic: "home/#",
            qos: "1",
            datatype: "auto-detect",
            broker: "telexbroker01",
            x: 140,
            y: 80,
            wires: [[]],
          },
        ],
        null,
        2,
      ),
  },
];

function withLogin(target: Target): string {
  return target.user === null ? url(target) : url(target).replace("://", `://${encodeURIComponent(target.user)}:${SECRET}@`);
}
