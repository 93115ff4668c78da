/** What the broker keeps, for whoever is connected and whoever is not. */

import { useCallback, useState } from "preact/hooks";
import type { SessionInfo } from "../../api/contract";
import { counted, formatMoment, formatShort } from "../../format";
import { usePage } from "../../page";
import { Icon } from "../../parts/icon";
import { usePaged } from "../../parts/paged";
import { hasText, PagedList } from "../../parts/paged-list";
import { tell, tellFault } from "../../parts/toast";
import { Confirm } from "./confirm";

export function SessionList({ onOpen }: { readonly onOpen: (id: string) => void }) {
  const { api } = usePage();
  const list = usePaged(useCallback((after?: string) => api.sessions(after), [api]));
  const [query, setQuery] = useState("");
  const [asked, setAsked] = useState<SessionInfo | null>(null);
  const shown = list.items.filter((session) => hasText(query, [session.client_id, session.bridge, session.user]));
  const remove = async (session: SessionInfo): Promise<void> => {
    setAsked(null);
    try {
      await api.deleteSession(session.client_id);
      tell(`The session of ${session.client_id} was deleted.`);
      list.refresh();
    } catch (error) {
      tellFault(error);
    }
  };
  return (
    <>
      <PagedList list={list} one="session" query={query} onQuery={setQuery} shown={shown}>
        {(session) => (
          <li key={session.client_id} class="entry-line">
            <button type="button" class="entry" onClick={() => onOpen(session.client_id)}>
              <span class="line">
                <b class="name">{session.client_id}</b>
                <span class={session.connected ? "tag tag-online" : "tag"}>{session.connected ? "connected" : "away"}</span>
                {session.bridge !== null && <span class="tag">bridge {session.bridge}</span>}
                {session.queued > 0 && <span class="tag tag-refused">{formatShort(session.queued)} waiting</span>}
              </span>
              <span class="line soft">
                <span>{counted(session.subscriptions, "subscription")}</span>
                {session.ends !== null && <span>ends {formatMoment(session.ends, Date.now())}</span>}
                {session.dropped > 0 && <span>{counted(session.dropped, "message")} dropped</span>}
              </span>
            </button>
            <button
              type="button"
              class="icon-button"
              aria-label={`Delete the session of ${session.client_id}`}
              title="Delete"
              onClick={() => setAsked(session)}
            >
              <Icon name="trash" />
            </button>
          </li>
        )}
      </PagedList>
      {asked !== null && (
        <Confirm
          title={`Delete the session of ${asked.client_id}?`}
          text={
            `${counted(asked.subscriptions, "subscription")} and ${counted(asked.queued, "message")} that wait are gone ` +
            "then. This cannot be undone."
          }
          action="Delete"
          onConfirm={() => void remove(asked)}
          onClose={() => setAsked(null)}
        />
      )}
    </>
  );
}
