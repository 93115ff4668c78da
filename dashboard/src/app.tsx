/** The frame around the views: where one is, where one can go, and whether the page is connected. */

import { useEffect, useRef } from "preact/hooks";
import { usePage } from "./page";
import { Icon, type IconName } from "./parts/icon";
import { Toasts } from "./parts/toast";
import { hrefTo, route, VIEWS, type ViewName } from "./router";
import { SignIn } from "./sign-in";
import { isDark, toggleTheme } from "./theme";
import { ClientsView } from "./views/clients/clients";
import { ConnectView } from "./views/connect/connect";
import { OverviewView } from "./views/overview/overview";
import { PublishView } from "./views/publish/publish";
import { TopicsView } from "./views/topics/topics";

const TITLES: Readonly<Record<ViewName, string>> = {
  overview: "Overview",
  topics: "Topics",
  publish: "Publish",
  clients: "Clients",
  connect: "Connect",
};
const ICONS: Readonly<Record<ViewName, IconName>> = {
  overview: "pulse",
  topics: "tree",
  publish: "send",
  clients: "devices",
  connect: "plug",
};

export function App() {
  const { session } = usePage();
  const view = route.value.view;
  const main = useRef<HTMLElement>(null);
  const isReady = session.phase.value === "ready";
  useEffect(() => {
    document.title = isReady ? `${TITLES[view]} · Telex` : "Telex";
  }, [view, isReady]);
  return (
    <div class={isReady ? "shell" : "shell is-bare"}>
      <a
        class="skip"
        href="#content"
        onClick={(event) => {
          event.preventDefault(); // what is behind # is the view
          main.current?.focus();
        }}
      >
        Skip to the content
      </a>
      <header class="top">
        <a class="brand" href={hrefTo("overview")} aria-label="Telex, overview">
          <img src="./icon.svg" alt="" width="28" height="28" />
          <span>Telex</span>
        </a>
        <Connection />
        <div class="top-actions">
          {isReady && session.me.value?.user != null && (
            <button type="button" class="quiet" onClick={() => void session.signOut()}>
              <span class="user">{session.me.value.user}</span> Sign out
            </button>
          )}
          <button
            type="button"
            class="icon-button"
            onClick={toggleTheme}
            aria-label={isDark.value ? "Use light colours" : "Use dark colours"}
            title={isDark.value ? "Light" : "Dark"}
          >
            <Icon name={isDark.value ? "sun" : "moon"} />
          </button>
        </div>
      </header>
      {isReady && (
        <nav class="views" aria-label="Views">
          {VIEWS.map((each) => (
            <a key={each} href={hrefTo(each)} aria-current={each === view ? "page" : undefined}>
              <Icon name={ICONS[each]} />
              <span>{TITLES[each]}</span>
            </a>
          ))}
        </nav>
      )}
      <main ref={main} id="content" class="content" tabIndex={-1}>
        {isReady ? <View name={view} /> : <SignIn />}
      </main>
      <Toasts />
    </div>
  );
}

function View({ name }: { readonly name: ViewName }) {
  switch (name) {
    case "overview":
      return <OverviewView />;
    case "topics":
      return <TopicsView />;
    case "publish":
      return <PublishView />;
    case "clients":
      return <ClientsView />;
    case "connect":
      return <ConnectView />;
  }
}

const STATES = { online: "Connected", connecting: "Connecting …", offline: "Not connected", refused: "Refused" } as const;

function Connection() {
  const { link, session } = usePage();
  if (session.phase.value === "signed-out") return <span class="connection" />;
  const state = session.phase.value === "ready" ? link.state.value : "connecting";
  return (
    <span class={`connection is-${state}`} role="status">
      <span class="dot" aria-hidden="true" />
      <span>{STATES[state]}</span>
    </span>
  );
}
