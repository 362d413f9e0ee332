// Passkeys: asks the browser for one, and sends what it answers with the form on the page. Nothing else needs this file.
"use strict";

const fromText = (text) =>
  Uint8Array.from(atob(text.replace(/-/g, "+").replace(/_/g, "/")), (character) => character.charCodeAt(0));

const toText = (buffer) =>
  btoa(String.fromCharCode(...new Uint8Array(buffer))).replace(/\+/g, "-").replace(/\//g, "_").replace(/=+$/, "");

const withIds = (credentials) => (credentials || []).map((one) => ({ ...one, id: fromText(one.id) }));

async function ask(action, options) {
  options.challenge = fromText(options.challenge);
  if (action === "create") {
    options.user.id = fromText(options.user.id);
    options.excludeCredentials = withIds(options.excludeCredentials);
    return navigator.credentials.create({ publicKey: options });
  }
  options.allowCredentials = withIds(options.allowCredentials);
  return navigator.credentials.get({ publicKey: options });
}

function plain(credential) {
  const { response } = credential;
  const answer = { clientDataJSON: toText(response.clientDataJSON) };
  for (const name of ["attestationObject", "authenticatorData", "signature", "userHandle"]) {
    if (response[name]) answer[name] = toText(response[name]);
  }
  return JSON.stringify({
    id: credential.id, rawId: toText(credential.rawId), type: credential.type, response: answer,
    clientExtensionResults: credential.getClientExtensionResults(),
  });
}

const form = document.getElementById("passkey");
const button = form.querySelector("button");
const trouble = document.getElementById("passkey-trouble");

button.disabled = !window.PublicKeyCredential;
trouble.hidden = !button.disabled;
form.addEventListener("submit", async (event) => {
  event.preventDefault();
  button.disabled = true;
  trouble.hidden = true;
  try {
    const credential = await ask(form.dataset.action, JSON.parse(form.dataset.options));
    form.elements.credential.value = plain(credential);
    form.submit();
  } catch (error) {
    trouble.textContent = error.name === "InvalidStateError"
      ? "This passkey is in use here already."
      : "The browser gave no passkey. Try again, or use another factor.";
    trouble.hidden = false;
    button.disabled = false;
  }
});
