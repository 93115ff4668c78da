/** One client from near, and what can be done about it. */

import { useEffect, useRef, useState } from "preact/hooks";
import { ApiError } from "../../api/api";
import type { ClientInfo, SubscriptionInfo } from "../../api/contract";
import { counted, formatBytes, formatCount, formatDuration, formatMoment, formatRate } from "../../format";
import { usePage } from "../../page";
import { CopyButton } from "../../parts/copy";
import { Icon } from "../../parts/icon";
import { tell, tellFault } from "../../parts/toast";
import { BanDialog } from "./ban-dialog";
import { Confirm } from "./confirm";

const ASK_MS = 2000;

interface Props {
  readonly id: string;
  readonly onClose: () => void;
}

type Question = "disconnect" | "session" | "ban";

export function ClientPanel({ id, onClose }: Props) {
  const { api } = usePage();
  const [client, setClient] = useState<ClientInfo | null>(null);
  const [isGone, setGone] = useState(false);
  const [problem, setProblem] = useState<string | null>(null);
  const [subscriptions, setSubscriptions] = useState<readonly SubscriptionInfo[] | null>(null);
  const [hasMore, setMore] = useState(false);
  const [question, setQuestion] = useState<Question | null>(null);
  const panel = useRef<HTMLElement>(null);
  useEffect(() => {
    if (matchMedia("(max-width: 899px)").matches) panel.current?.focus();
  }, []);
  useEffect(() => {
    let isOver = false;
    const ask = async (): Promise<void> => {
      if (document.hidden) return;
      try {
        const found = await api.client(id);
        if (isOver) return;
        setClient(found);
        setGone(false);
        setProblem(null);
      } catch (error) {
        if (isOver) return;
        if (error instanceof ApiError && error.status === 404) setGone(true);
        else setProblem(error instanceof Error ? error.message : String(error));
      }
    };
    void ask();
    const timer = setInterval(() => void ask(), ASK_MS);
    return () => {
      isOver = true;
      clearInterval(timer);
    };
  }, [api, id]);
  const count = client?.subscriptions ?? -1;
  useEffect(() => {
    let isOver = false;
    api.subscriptions(id).then(
      (page) => {
        if (isOver) return;
        setSubscriptions(page.items.filter((each) => each.client_id === id));
        setMore(page.next !== null);
      },
      () => !isOver && setSubscriptions(null),
    );
    return () => (isOver = true);
  }, [api, id, count]);

  const act = async (action: () => Promise<void>, done: string): Promise<void> => {
    setQuestion(null);
    try {
      await action();
      tell(done);
    } catch (error) {
      tellFault(error);
    }
  };
  return (
    <section
      ref={panel}
      class="panel card"
      aria-label={`Client ${id}`}
      tabIndex={-1}
      onKeyDown={(event) => {
        if (event.key === "Escape" && question === null) onClose();
      }}
    >
      <header class="panel-head">
        <button type="button" class="icon-button panel-back" onClick={onClose} aria-label="Back to the list">
          <Icon name="back" />
        </button>
        <h2 class="panel-topic">{id}</h2>
        <CopyButton text={() => id} what="the client id" />
        <button type="button" class="icon-button panel-close" onClick={onClose} aria-label="Close" title="Close">
          <Icon name="close" />
        </button>
      </header>
      {problem !== null && (
        <p class="fault" role="alert">
          {problem}
        </p>
      )}
      {isGone && (
        <p class="caution" role="status">
          It is not connected{client === null ? "." : " any more; this is what was known last."}
        </p>
      )}
      <div class="buttons is-small">
        {!isGone && (
          <button type="button" onClick={() => setQuestion("disconnect")}>
            Disconnect …
          </button>
        )}
        <button type="button" onClick={() => setQuestion("session")}>
          Delete session …
        </button>
        {client?.bridge == null && (
          <button type="button" class="danger" onClick={() => setQuestion("ban")}>
            Ban …
          </button>
        )}
      </div>
      {client !== null && <Facts client={client} />}
      {subscriptions !== null && (
        <section aria-label="Subscriptions">
          <h3>Subscriptions</h3>
          {subscriptions.length === 0 && <p class="soft">None.</p>}
          <ul class="plain">
            {subscriptions.map((each) => (
              <li key={`${each.share ?? ""} ${each.filter}`} class="line">
                <code>{each.share === null ? each.filter : `$share/${each.share}/${each.filter}`}</code>
                <span class="tag">QoS {each.qos}</span>
              </li>
            ))}
          </ul>
          {hasMore && <p class="caution">The first {formatCount(subscriptions.length)} of them.</p>}
        </section>
      )}
      {question === "disconnect" && (
        <Confirm
          title={`Disconnect ${id}?`}
          text={
            client?.bridge == null
              ? "It is told so, and may connect again at once. Its session stays."
              : "This bridge takes leave of the remote broker, and connects again after a while. What waits for it stays."
          }
          action="Disconnect"
          onConfirm={() => void act(() => api.disconnect(id), `${id} was disconnected.`)}
          onClose={() => setQuestion(null)}
        />
      )}
      {question === "session" && (
        <Confirm
          title={`Delete the session of ${id}?`}
          text="Its subscriptions and all messages that wait for it are gone then. This cannot be undone."
          action="Delete"
          onConfirm={() => void act(() => api.deleteSession(id), `The session of ${id} was deleted.`)}
          onClose={() => setQuestion(null)}
        />
      )}
      {question === "ban" && <BanDialog clientId={id} client={client} onClose={() => setQuestion(null)} />}
    </section>
  );
}

function Facts({ client }: { readonly client: ClientInfo }) {
  const now = Date.now();
  const { rates } = client;
  return (
    <dl class="facts">
      {client.bridge === null ? (
        <>
          <dt>User</dt>
          <dd>{client.user ?? "anonymous"}</dd>
          <dt>From</dt>
          <dd>
            {client.address}, by {client.listener}
          </dd>
        </>
      ) : (
        <>
          <dt>Bridge</dt>
          <dd>{client.bridge}</dd>
          <dt>Rights</dt>
          <dd>{client.user === null ? "all that its topics say" : `those of user ${client.user}`}</dd>
          <dt>To</dt>
          <dd>{client.address}</dd>
        </>
      )}
      <dt>Speaks</dt>
      <dd>
        MQTT {client.version} by {client.protocol === "mqtt" ? "TCP" : "WebSocket"}, {client.tls ?? "without TLS"}
      </dd>
      <dt>Connected</dt>
      <dd>{formatMoment(client.connected, now)}</dd>
      <dt>Keep-alive</dt>
      <dd>{client.keep_alive === 0 ? "none" : formatDuration(client.keep_alive)}</dd>
      <dt>Session</dt>
      <dd>
        {client.clean_start ? "began anew" : "goes on"}; {describeExpiry(client.session_expiry)}
      </dd>
      <dt>Waiting</dt>
      <dd>
        {formatCount(client.queued)} queued, {formatCount(client.in_flight)} in flight
      </dd>
      <dt>In</dt>
      <dd>
        <b>{formatRate(rates.messages_received_per_second)}</b>, {formatBytes(rates.bytes_received_per_second)}/s; in all{" "}
        {counted(client.messages_received, "message")}, {formatBytes(client.bytes_received)}
      </dd>
      <dt>Out</dt>
      <dd>
        <b>{formatRate(rates.messages_sent_per_second)}</b>, {formatBytes(rates.bytes_sent_per_second)}/s; in all{" "}
        {counted(client.messages_sent, "message")}, {formatBytes(client.bytes_sent)}
      </dd>
      {client.will_topic !== null && (
        <>
          <dt>Will</dt>
          <dd>
            <code>{client.will_topic}</code>
          </dd>
        </>
      )}
    </dl>
  );
}

function describeExpiry(seconds: number | null): string {
  if (seconds === null) return "is kept for ever";
  return seconds === 0 ? "ends with the connection" : `is kept for ${formatDuration(seconds)}`;
}
