/** What the page is made of, put together once; views reach it by `usePage`. */

import { createContext } from "preact";
import { useContext } from "preact/hooks";
import { Api } from "./api/api";
import { Link } from "./link/link";
import { Notifier } from "./notify/notifier";
import { Session } from "./session";
import { TopicStore } from "./topics/store";
import { Watch } from "./topics/watch";
import { Samples } from "./views/overview/samples";

export interface Page {
  readonly base: string;
  readonly api: Api;
  readonly link: Link;
  readonly session: Session;
  readonly watch: Watch;
  readonly samples: Samples;
  readonly notifier: Notifier;
}

/** `base`: the address of the page, without what is behind #. */
export function makePage(base: string): Page {
  const api = new Api(base);
  const socket = new URL("mqtt", base);
  socket.protocol = socket.protocol === "https:" ? "wss:" : "ws:";
  const link = new Link(socket.href);
  return {
    base,
    api,
    link,
    session: new Session(api, link),
    watch: new Watch(link, new TopicStore(Date.now())),
    samples: new Samples(api, link),
    notifier: new Notifier(link),
  };
}

export const PageContext = createContext<Page | null>(null);

export function usePage(): Page {
  const page = useContext(PageContext);
  if (page === null) throw new Error("there is no page around this view");
  return page;
}
