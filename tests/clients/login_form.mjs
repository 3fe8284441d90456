// A customer with a browser that knows no JavaScript.
import assert from "node:assert/strict";

// Opens the authorization request, fills in the form that it shows, and says to which address the browser is sent.
export async function logIn(request, username, password) {
  const page = await fetch(request);
  const text = await page.text();
  assert.equal(page.status, 200, text);
  const form = text.match(/<form method="post" action="([^"]*)"/);
  assert(form, text);
  const fields = new URLSearchParams();
  for (const [input] of text.matchAll(/<input[^>]*>/g)) {
    const attribute = (name) => input.match(new RegExp(` ${name}="([^"]*)"`))?.[1] ?? "";
    fields.set(attribute("name"), attribute("value"));
  }
  fields.set("username", username);
  fields.set("password", password);
  const cookie = page.headers.getSetCookie().map((line) => line.split(";")[0]).join("; ");
  const answer = await fetch(new URL(form[1], request), {
    method: "POST", body: fields, headers: { cookie, origin: new URL(request).origin }, redirect: "manual",
  });
  assert.equal(answer.status, 303, await answer.text());
  return answer.headers.get("location");
}

// The status of a call with a customer's token.
export async function statusFor(route, token) {
  return (await fetch(route, { headers: { "customer-auth": `JWT ${token}` } })).status;
}
