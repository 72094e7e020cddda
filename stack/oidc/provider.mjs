// The development stack's OpenID Connect provider: a certified implementation with five users whose
// password is the part of their e-mail before the @. Not for production: anybody knows the passwords.
//
//   OIDC_PORT          port on 127.0.0.1
//   OIDC_ISSUER        its own URL, as everybody reaches it
//   OIDC_CLIENTS       JSON: [{client_id, client_secret, redirect_uris, post_logout_redirect_uris}]
//   OIDC_DATA_DIR      keys, sessions and grants, so that a restart forgets nothing
//   OIDC_TOKEN_FORMAT  of access tokens: opaque (default) or jwt
//   OIDC_SID           1: id tokens name the browser's session (`sid`), the same for all clients, as Keycloak's do
//   OIDC_CLAIMS        JSON: {e-mail: claims} that these people have besides or instead, as other providers write them
//
// The sign-in form is at /interaction/{uid}; its fields are `email` and `password`. A code of a sign-in that began in a
// terminal is typed at /device: `user_code`, and then `confirm`, or `abort`.

import { generateKeyPairSync, randomBytes } from 'node:crypto';
import { existsSync, mkdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { createRequire } from 'node:module';
import { join } from 'node:path';

// The packages are installed in a cache, beside which this file does not lie.
const require = createRequire(join(process.env.OIDC_MODULES ?? import.meta.dirname, 'package.json'));
const { Provider } = await import(require.resolve('oidc-provider'));

const port = Number(process.env.OIDC_PORT);
const issuer = process.env.OIDC_ISSUER;
const dataDirectory = process.env.OIDC_DATA_DIR;
const jwt = process.env.OIDC_TOKEN_FORMAT === 'jwt';
const sid = process.env.OIDC_SID === '1';
const scopes = 'openid profile email offline_access';
const resource = 'urn:notebooks-hub';
const otherClaims = JSON.parse(process.env.OIDC_CLAIMS ?? '{}');

const users = Object.fromEntries(
  [
    ['alice@example.org', 'Alice', ['biology']],
    ['bob@example.org', 'Bob', ['biology']],
    ['carol@example.org', 'Carol', ['chemistry']],
    ['dave@elsewhere.org', 'Dave', []],
    ["jürgen.o'neil@bücher.example", 'Jürgen', []],
    ['admin@example.org', 'Admin', []],
  ].map(([email, name, orgs]) => {
    const local = email.split('@')[0];
    const roles = local === 'admin' ? ['nbhub-admin'] : [];
    const claims = { sub: `dev-${encodeURIComponent(local)}`, name, email, email_verified: true, realm_access: { roles }, orgs };
    Object.assign(claims, otherClaims[email]);
    return [claims.sub, { password: local, claims }];
  }),
);

mkdirSync(dataDirectory, { recursive: true, mode: 0o700 });

function kept(name, make) {
  const path = join(dataDirectory, name);
  if (!existsSync(path)) save(path, make());
  return JSON.parse(readFileSync(path, 'utf8'));
}

function save(path, value) {
  writeFileSync(`${path}.new`, JSON.stringify(value), { mode: 0o600 });
  renameSync(`${path}.new`, path);
}

const jwks = kept('jwks.json', () => {
  const { privateKey } = generateKeyPairSync('rsa', { modulusLength: 2048 });
  return { keys: [{ ...privateKey.export({ format: 'jwk' }), use: 'sig', alg: 'RS256', kid: randomBytes(8).toString('hex') }] };
});
const cookieKeys = kept('cookies.json', () => [randomBytes(32).toString('hex')]);

const storePath = join(dataDirectory, 'store.json');
const store = new Map(Object.entries(kept('store.json', () => ({}))));

/** Everything that has to outlive a restart, in one file: a handful of people make little of it. */
class FileAdapter {
  constructor(name) {
    this.name = name;
  }

  key(id) {
    return `${this.name}:${id}`;
  }

  async upsert(id, payload, expiresIn) {
    const now = Math.floor(Date.now() / 1000);
    for (const [key, entry] of store) if (entry.expires && entry.expires < now) store.delete(key);
    store.set(this.key(id), { payload, expires: expiresIn ? now + expiresIn : null });
    save(storePath, Object.fromEntries(store));
  }

  async find(id) {
    const entry = store.get(this.key(id));
    return entry && !(entry.expires && entry.expires < Date.now() / 1000) ? entry.payload : undefined;
  }

  async findBy(field, value) {
    for (const [key, entry] of store) {
      if (key.startsWith(`${this.name}:`) && entry.payload[field] === value) return entry.payload;
    }
    return undefined;
  }

  findByUid(uid) {
    return this.findBy('uid', uid);
  }

  findByUserCode(code) {
    return this.findBy('userCode', code);
  }

  async consume(id) {
    store.get(this.key(id)).payload.consumed = Math.floor(Date.now() / 1000);
    save(storePath, Object.fromEntries(store));
  }

  async destroy(id) {
    store.delete(this.key(id));
    save(storePath, Object.fromEntries(store));
  }

  async revokeByGrantId(grantId) {
    for (const [key, entry] of store) if (entry.payload.grantId === grantId) store.delete(key);
    save(storePath, Object.fromEntries(store));
  }
}

function claimsOf(sub) {
  return users[sub]?.claims;
}

const provider = new Provider(issuer, {
  adapter: FileAdapter,
  clients: JSON.parse(process.env.OIDC_CLIENTS).map((client) => ({
    grant_types: ['authorization_code', 'refresh_token'],
    response_types: ['code'],
    ...client,
  })),
  jwks,
  cookies: { keys: cookieKeys },
  scopes: scopes.split(' '),
  claims: {
    openid: sid ? ['sub', 'sid'] : ['sub'],
    email: ['email', 'email_verified'],
    profile: ['name', 'realm_access', 'orgs'],
  },
  // Into the id token too, as many providers do it.
  conformIdTokenClaims: false,
  findAccount: (_, sub, token) => users[sub] && {
    accountId: sub,
    claims: () => (sid && token?.sessionUid ? { sid: token.sessionUid, ...claimsOf(sub) } : claimsOf(sub)),
  },
  extraTokenClaims: (_, token) => (jwt && token.accountId ? { azp: token.clientId, ...claimsOf(token.accountId) } : undefined),
  issueRefreshToken: (_, client) => client.grantTypeAllowed('refresh_token'),
  rotateRefreshToken: true,
  // These clients belong to the operator: nobody is asked for consent.
  async loadExistingGrant(ctx) {
    const { client, session, provider: own } = ctx.oidc;
    const known = session.grantIdFor(client.clientId);
    // A logout that revokes the refresh token takes the grant with it, and leaves the browser signed in here.
    const existing = known && (await own.Grant.find(known));
    if (existing) return existing;
    const grant = new own.Grant({ clientId: client.clientId, accountId: session.accountId });
    grant.addOIDCScope(scopes);
    if (jwt) grant.addResourceScope(resource, scopes);
    await grant.save();
    return grant;
  },
  interactions: { url: (_, interaction) => `/interaction/${interaction.uid}` },
  pkce: { required: () => true },
  ttl: { AccessToken: 3600, AuthorizationCode: 60, DeviceCode: 600, IdToken: 3600, RefreshToken: 86400, Session: 86400, Interaction: 600, Grant: 86400 },
  features: {
    deviceFlow: {
      enabled: true,
      userCodeInputSource(ctx, form, _, error) {
        ctx.body = page('Code of a terminal', `${form}<button form="op.deviceInputForm">Go on</button>`, problemOf(error));
      },
      userCodeConfirmSource(ctx, form, client, _, code) {
        ctx.body = page(
          'Is it you?',
          `<p class="plain">Whoever sees the code <b>${code}</b> in a terminal will be signed in as you. Go on only if that is
your own terminal, in which you have just begun to sign in.</p>${form}
<button form="op.deviceConfirmForm">Sign that terminal in</button>
<button form="op.deviceConfirmForm" name="abort" value="yes">No</button>`,
        );
      },
      successSource(ctx) {
        ctx.body = page('Signed in', '<p class="plain">The terminal is signed in. You can close this page.</p>');
      },
    },
    devInteractions: { enabled: false },
    introspection: { enabled: true },
    // For clients that ask for it with `userinfo_signed_response_alg`.
    jwtUserinfo: { enabled: true },
    revocation: { enabled: true },
    rpInitiatedLogout: { enabled: true },
    resourceIndicators: {
      enabled: jwt,
      defaultResource: () => resource,
      useGrantedResource: () => true,
      getResourceServerInfo: () => ({
        scope: scopes,
        audience: 'notebooks-hub',
        accessTokenFormat: 'jwt',
        jwt: { sign: { alg: 'RS256' } },
      }),
    },
  },
});

const page = (title, content, problem) => `<!doctype html>
<html lang="en"><meta charset="utf-8"><title>${title} (development)</title>
<style>body{font:16px system-ui;max-width:20rem;margin:15vh auto}input,button{display:block;width:100%;margin:.5rem 0;padding:.5rem;box-sizing:border-box;font:inherit}p{color:#a00}.plain{color:inherit}</style>
<h1>${title}</h1>${problem ? `<p role="alert">${problem}</p>` : ''}
${content}</html>`;

const signInForm = `<form method="post"><input name="email" inputmode="email" placeholder="alice@example.org" autofocus required>
<input name="password" type="password" placeholder="alice" required><button>Sign in</button></form>`;

function problemOf(error) {
  if (!error) return '';
  if (error.name === 'AbortedError') return 'That terminal is not signed in.';
  return error.userCode || error.name === 'NoCodeError' ? 'There is no such code, or it was used.' : 'This cannot go on: begin again.';
}

async function form(request) {
  let text = '';
  for await (const chunk of request) {
    text += chunk;
    if (text.length > 10_000) throw new Error('the form is too long');
  }
  return new URLSearchParams(text);
}

async function interact(request, response) {
  // Raises for whoever does not hold the cookie of this interaction.
  const { prompt } = await provider.interactionDetails(request, response);
  // A client that comes back to a port of the browser's own machine is asked for consent each time.
  if (prompt.name === 'consent') return provider.interactionFinished(request, response, { consent: {} });
  let problem = '';
  if (request.method === 'POST') {
    const fields = await form(request);
    const email = (fields.get('email') ?? '').toLowerCase();
    const user = Object.values(users).find((one) => one.claims.email === email);
    if (user && fields.get('password') === user.password) {
      const result = { login: { accountId: user.claims.sub } };
      return provider.interactionFinished(request, response, result, { mergeWithLastSubmission: false });
    }
    problem = 'There is no such user, or the password is not theirs.';
  }
  response.writeHead(problem ? 403 : 200, { 'content-type': 'text/html; charset=utf-8', 'cache-control': 'no-store' });
  return response.end(page('Sign in', signInForm, problem));
}

const serve = provider.callback();
const server = createServer((request, response) => {
  if (!request.url.startsWith('/interaction/')) return serve(request, response);
  return interact(request, response).catch((error) => {
    response.writeHead(400, { 'content-type': 'text/plain' });
    response.end(error.error ?? 'this sign-in cannot go on: begin again');
  });
});
server.listen(port, '127.0.0.1', () => console.log(`provider at ${issuer}`));
for (const name of ['SIGINT', 'SIGTERM']) process.on(name, () => process.exit(0));
