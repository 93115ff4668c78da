/** Who published a topic's last message, and when; whether the broker keeps it, and until when. */

import { useEffect, useState } from "preact/hooks";
import type { Retained } from "../../api/contract";
import { formatMoment, formatTime } from "../../format";
import { usePage } from "../../page";
import type { Publication } from "../../topics/store";

const ASK_MS = 3000; // between two questions, while messages come

interface Props {
  readonly topic: string;
  readonly isRetained: boolean;
  /** What came with the message itself; null: it was there before the page listened. */
  readonly publication: Publication | null;
}

export function PublicationFacts({ topic, isRetained, publication }: Props) {
  const info = useRetained(topic, isRetained);
  const now = Date.now();
  return (
    <>
      {publication !== null ? (
        <>
          <dt>Published</dt>
          <dd>
            {formatTime(publication.at, now)}
            <By client={publication.client} user={publication.user} isBroker={topic.startsWith("$SYS/")} />
          </dd>
        </>
      ) : (
        info !== null && (
          <>
            <dt>Published</dt>
            <dd>
              {info.published === null ? "some time ago" : formatMoment(info.published, now)}
              <By
                client={info.publisher === null ? null : (info.publisher.client_id ?? "the HTTP API")}
                user={info.publisher?.user ?? null}
                isBroker={topic.startsWith("$SYS/")}
              />
            </dd>
          </>
        )
      )}
      <dt>Retained</dt>
      <dd>
        {isRetained ? "yes" : "no"}
        {info?.expires != null && `, until ${formatMoment(info.expires, now)}`}
      </dd>
    </>
  );
}

interface ByProps {
  /** null: who looks may not know. */
  readonly client: string | null;
  readonly user: string | null;
  readonly isBroker: boolean;
}

function By({ client, user, isBroker }: ByProps) {
  if (client === null) return <>{isBroker ? " by the broker itself" : ""}</>;
  return (
    <>
      {" by "}
      <b>{client}</b>
      {user !== null && ` (${user})`}
    </>
  );
}

/** What the broker keeps of a topic; null: nothing, or who looks may not ask. */
function useRetained(topic: string, isRetained: boolean): Retained | null {
  const { api, watch } = usePage();
  const [info, setInfo] = useState<Retained | null>(null);
  useEffect(() => {
    setInfo(null);
    if (!isRetained) return undefined;
    let askedAt = -1; // how many messages had come by then
    let isOver = false;
    const ask = async (): Promise<void> => {
      if (watch.history.count === askedAt || document.hidden) return;
      askedAt = watch.history.count;
      try {
        const found = await api.retainedInfo(topic);
        if (!isOver) setInfo(found);
      } catch {
        if (!isOver) setInfo(null); // who may not ask goes without: the message is there all the same
      }
    };
    void ask();
    const timer = setInterval(() => void ask(), ASK_MS);
    return () => {
      isOver = true;
      clearInterval(timer);
    };
  }, [api, watch, topic, isRetained]);
  return info;
}
