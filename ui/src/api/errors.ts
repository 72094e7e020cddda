/** What the API, or the way to it, refused: `message` and `hint` are for people, `code` for programs. */
export class Refused extends Error {
  constructor(
    readonly status: number,
    readonly code: string,
    message: string,
    readonly hint?: string,
    readonly details: { path: string; message: string }[] = [],
    /** Seconds after which it is worth asking again. */
    readonly retryAfter?: number,
  ) {
    super(message)
  }

  /** Whether the request never had an answer, or a part behind the API is away. */
  get away(): boolean {
    return this.status === 0 || this.status === 503
  }
}

interface Envelope {
  error?: { code?: string; message?: string; hint?: string; details?: { path: string; message: string }[] }
}

/** What an answer that is no success says. */
export async function refusalOf(answer: Response): Promise<Refused> {
  const said = (await answer.json().catch(() => ({}))) as Envelope
  const error = said.error ?? {}
  const after = Number(answer.headers.get("Retry-After"))
  return new Refused(
    answer.status,
    error.code ?? `HTTP_${answer.status}`,
    error.message ?? `The service answered ${answer.status}.`,
    error.hint,
    error.details,
    after > 0 ? after : undefined,
  )
}

/** The request had no answer: no network, or the API is away. */
export function noAnswer(): Refused {
  return new Refused(0, "NO_ANSWER", "Notebooks Hub does not answer at the moment.")
}
