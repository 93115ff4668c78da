/**
 * Who publishes, each with a number: many topics come from few clients.
 *
 * When there are too many, as of clients with a new name each time, further ones are nobody in particular.
 */

export interface Publisher {
  /** null: the broker itself, or nobody who may be named. */
  readonly client: string | null;
  readonly user: string | null;
}

/** Nobody in particular. */
export const UNKNOWN = 0;

const MOST = 65_536;
const NOBODY: Publisher = { client: null, user: null };

export class Publishers {
  private readonly all: Publisher[] = [NOBODY];
  private readonly numbers = new Map<string, number>();

  numberOf(client: string | null, user: string | null): number {
    if (client === null) return UNKNOWN;
    const key = user === null ? client : `${client}\0${user}`; // no name of MQTT has a zero character
    const number = this.numbers.get(key);
    if (number !== undefined) return number;
    if (this.all.length >= MOST) return UNKNOWN;
    this.numbers.set(key, this.all.length);
    return this.all.push({ client, user }) - 1;
  }

  get(number: number): Publisher {
    return this.all[number];
  }
}
