/** How a device, or a phone, gets to this broker. */

import { useEffect, useState } from "preact/hooks";
import type { ListenerInfo } from "../../api/contract";
import { usePage } from "../../page";
import { Code, CopyButton } from "../../parts/copy";
import { Tabs } from "../../parts/tabs";
import { Phone } from "./phone";
import { isLoopback, SNIPPETS, targetsOf, type Target } from "./targets";
import "./connect.css";

const USUAL_PORT = 1883;

export function ConnectView() {
  const { api, base, session } = usePage();
  const [listeners, setListeners] = useState<readonly ListenerInfo[] | null>(null);
  const [chosen, setChosen] = useState(0);
  const [kind, setKind] = useState(SNIPPETS[0].id);
  useEffect(() => {
    api.broker().then(
      (broker) => setListeners(broker.listeners),
      () => setListeners([]), // who may not ask for listeners gets the usual port
    );
  }, [api]);
  const pageHost = location.hostname.replace(/^\[|\]$/g, "");
  const user = session.me.value?.user ?? null;
  const found = targetsOf(listeners ?? [], pageHost, user);
  const targets: readonly Target[] = found.length > 0 ? found : [{ host: pageHost, port: USUAL_PORT, isTls: false, user }];
  const target = targets[Math.min(chosen, targets.length - 1)];
  const snippet = SNIPPETS.find((each) => each.id === kind) ?? SNIPPETS[0];
  return (
    <div class="connect">
      <header class="view-head">
        <h1>Connect a device</h1>
      </header>
      <div class="connect-columns">
        <section class="card connect-device" aria-label="Lines for a device">
          {targets.length > 1 && (
            <label>
              Listener
              <select value={chosen} onChange={(event) => setChosen(Number(event.currentTarget.value))}>
                {targets.map((each, i) => (
                  <option key={i} value={i}>
                    {each.host}, port {each.port}
                    {each.isTls ? ", TLS" : ""}
                  </option>
                ))}
              </select>
            </label>
          )}
          <dl class="facts">
            <Fact name="Host" value={target.host} />
            <Fact name="Port" value={String(target.port)} />
            <dt>TLS</dt>
            <dd>{target.isTls ? "yes" : "no"}</dd>
            <dt>User</dt>
            <dd>{user ?? "none needed"}</dd>
          </dl>
          {listeners !== null && found.length === 0 && (
            <p class="caution">The broker does not tell its listeners to you; {USUAL_PORT} is the usual port.</p>
          )}
          {isLoopback(target.host) && (
            <p class="caution">
              This listener is for the broker's own machine only.{" "}
              {user === null ? (
                <>
                  To let devices in, say who may: <code>telex passwd -c users ann</code>, then{" "}
                  <code>telex serve --host 0.0.0.0 --password-file users</code>.
                </>
              ) : (
                "Devices need one at an address of your network, or at 0.0.0.0, which is all of them."
              )}
            </p>
          )}
          <Tabs
            label="What connects"
            tabs={SNIPPETS.map(({ id, title }) => ({ id, title }))}
            chosen={kind}
            onChoose={setKind}
            controls="snippet"
          />
          <div id="snippet" role="tabpanel" aria-label={snippet.title}>
            <p class="soft">{snippet.note}</p>
            <Code text={snippet.text(target)} what={`the lines for ${snippet.title}`} />
          </div>
        </section>
        <Phone base={base} />
      </div>
    </div>
  );
}

function Fact({ name, value }: { readonly name: string; readonly value: string }) {
  return (
    <>
      <dt>{name}</dt>
      <dd class="line">
        <code>{value}</code>
        <CopyButton text={() => value} what={`the ${name.toLowerCase()}`} />
      </dd>
    </>
  );
}
