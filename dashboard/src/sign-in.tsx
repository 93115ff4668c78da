/** Who are you? Shown when the broker wants to know, and while it does not answer. */

import { useState } from "preact/hooks";
import { usePage } from "./page";

export function SignIn() {
  const { session } = usePage();
  const [isBusy, setBusy] = useState(false);
  if (session.phase.value === "loading") return <p class="notice" role="status">Loading …</p>;
  if (session.phase.value === "unreachable") {
    return (
      <p class="notice" role="status">
        The broker does not answer. The page goes on trying.
      </p>
    );
  }
  const submit = async (event: SubmitEvent): Promise<void> => {
    event.preventDefault();
    const form = new FormData(event.currentTarget as HTMLFormElement);
    setBusy(true);
    await session.signIn(String(form.get("user")), String(form.get("password")));
    setBusy(false);
  };
  return (
    <form class="card sign-in" onSubmit={(event) => void submit(event as SubmitEvent)}>
      <h1>Sign in</h1>
      <p class="soft">With the user name and password that you use for MQTT.</p>
      <label>
        User name
        <input name="user" autocomplete="username" required autocapitalize="none" spellcheck={false} />
      </label>
      <label>
        Password
        <input name="password" type="password" autocomplete="current-password" required />
      </label>
      {session.problem.value !== null && (
        <p class="fault" role="alert">
          {session.problem.value}
        </p>
      )}
      <button type="submit" class="primary" disabled={isBusy}>
        Sign in
      </button>
    </form>
  );
}
