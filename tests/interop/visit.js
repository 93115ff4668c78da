// One visit at a broker by npm's mqtt: what tests/interop/visits.py says on standard input, told on standard output.
const fs = require("fs");
const mqtt = require("mqtt");

const plan = JSON.parse(fs.readFileSync(0, "utf8"));
const read = (path) => (path ? fs.readFileSync(path) : undefined);
const options = {
  clientId: plan.clientId,
  username: plan.username ?? undefined,
  password: plan.password ?? undefined,
  protocolVersion: plan.version,
  reconnectPeriod: 0,
  ca: read(plan.ca),
  cert: read(plan.cert),
  key: read(plan.key),
  rejectUnauthorized: true,
};
const visit = { refused: 0, granted: [], answers: {}, got: [] };
const tell = () => process.stdout.write(JSON.stringify(visit) + "\n", () => process.exit(0));

const client = plan.path
  ? mqtt.connect({ ...options, protocol: "mqtt+unix", path: plan.path })
  : mqtt.connect(plan.url, options);
let leaving = false;
client.on("error", (error) => {
  if (leaving) return; // a broker may close the connection before the rest of what we sent
  if (typeof error.code !== "number") {
    console.error(String(error));
    process.exit(1);
  }
  visit.refused = error.code;
  tell();
});
client.on("message", (topic, payload, packet) => {
  visit.got.push([topic, payload.toString(), packet.qos, packet.retain]);
  if (topic !== plan.last) return;
  leaving = true;
  client.end(false, {}, tell);
});
client.on("connect", () => {
  const wanted = Object.fromEntries(plan.filters.map((filter) => [filter, { qos: 2 }]));
  client.subscribe(wanted, (error, granted, packet) => {
    visit.granted = packet.granted.map(Number);
    for (const [topic, payload, qos] of plan.messages) {
      client.publish(topic, payload, { qos }, (error) => {
        if (qos) visit.answers[topic] = error ? error.code : 0;
      });
    }
  });
});
