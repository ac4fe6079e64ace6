// What PySpeed's development server adds to a page: it listens for changes, and loads the page again or exchanges its
// style sheets and images. See docs/development.md; reload.browser = false turns it off.
//
// data-at says what the page is up to date with, data-keep that loading it again would be a request of another kind.
(() => {
  "use strict";
  const element = document.currentScript;
  if (!element) return;
  const { at, keep } = element.dataset;
  const EVENTS = location.origin + "/.pyspeed/reload";
  const NAME = "pyspeed-reload"; // of the lock, the channel and the stored item
  const MARK = "__pyspeed_reload__";
  if (element.src) element.remove(); // the document is again as the application made it

  // A page in a frame leaves it all to the page around it, if that has this script too.
  function embedded() {
    for (let w = window; w !== w.parent; ) {
      w = w.parent;
      try {
        if (w[MARK]) return true;
      } catch {} // of another origin
    }
    return false;
  }
  if (window[MARK] || embedded()) return;
  window[MARK] = true;

  // ---- Events: one tab of all that show this origin listens, and tells the others. A browser opens six connections
  // to a server, and a seventh tab would wait for ever.

  let seen = at;
  let source, channel, release, delay, running;

  function start() {
    running = true;
    leaving = 0;
    delay = 500;
    if (!navigator.locks || !window.BroadcastChannel) return connect();
    channel = new BroadcastChannel(NAME);
    channel.onmessage = (message) => take(message.data);
    const lead = (lock) => {
      if (!lock || !running) return;
      connect();
      return new Promise((resolve) => (release = resolve));
    };
    navigator.locks.request(NAME, { ifAvailable: true }, (lock) => {
      if (lock) return lead(lock);
      missed();
      navigator.locks.request(NAME, lead).catch(() => {});
    }).catch(connect);
  }

  function stop() {
    running = false;
    clearTimeout(postponed);
    if (source) source.close();
    if (channel) channel.close();
    if (release) release();
    source = channel = release = undefined;
  }

  function connect() {
    if (!running) return;
    source = new EventSource(EVENTS + "?at=" + seen);
    source.onmessage = (message) => {
      delay = 500;
      const event = JSON.parse(message.data);
      if (channel) channel.postMessage(event);
      take(event);
    };
    source.onerror = () => {
      // Mostly the browser tries again by itself; not after an answer that is no stream.
      if (source && source.readyState === EventSource.CLOSED) setTimeout(again, delay);
    };
  }

  async function again() {
    delay = Math.min(2 * delay, 8000);
    if (running && (await missed())) connect();
  }

  // missed asks for what this page does not know; false: there is no development server any more.
  async function missed() {
    let answer;
    try {
      answer = await fetch(EVENTS + "?at=" + seen, { headers: { Accept: "application/json" }, cache: "no-store" });
      if (answer.status === 503) return true;
      if (!answer.ok || answer.headers.get("Content-Type") !== "application/json") return false;
      for (const event of await answer.json()) take(event);
    } catch {} // it is not there at the moment
    return true;
  }

  // newer is whether an event is not in the page yet. Those of a gateway that was started since are.
  function newer(id) {
    const [boot, number] = id.split(".");
    const [own, known] = seen.split(".");
    return boot !== own || Number(number) > Number(known);
  }

  function take(event) {
    if (!running || !newer(event.id)) return;
    seen = event.id;
    if (window !== window.parent && embedded()) return;
    if (event.error) console.error("PySpeed: the new code does not start, the old one still serves: " + event.error);
    const names = [event.names, event.styles, event.images].flatMap((list) => list || []);
    if (!names.length) {
      if (event.reload) reload(event.id);
      return;
    }
    // What the browser keeps of them is old.
    renew(names).then(() => {
      if (event.reload) return reload(event.id);
      for (const page of documents()) {
        if (event.styles) exchangeStyles(page, new Set(event.styles), event.id);
        if (event.images) exchangeImages(page, new Set(event.images), event.id);
      }
    });
  }

  // ---- Loading the page again

  function reload(id) {
    if (keep !== undefined) {
      // It is the answer to a form: the browser would send that once more.
      console.info("PySpeed: the code has changed; this page answers a form and is not loaded again by itself");
      for (const hidden of document.querySelectorAll("[data-pyspeed-kept]")) hidden.hidden = false;
      return;
    }
    const state = stored();
    // Once only: a page that is as old as before comes from somewhere else, a service worker for example.
    if (state && state.id === id && state.href === location.href) return;
    if (Date.now() - leaving < 60000) {
      // Something was clicked or sent, and may have been waiting for this very change: loading this page would lose it.
      clearTimeout(postponed);
      postponed = setTimeout(() => { leaving = 0; reload(id); }, 20000);
      return;
    }
    store({ id, href: location.href, x: scrollX, y: scrollY });
    location.reload();
  }

  let leaving = 0; // when the browser began to load something else in the place of this page
  let postponed;

  function stored() {
    try {
      return JSON.parse(sessionStorage.getItem(NAME));
    } catch {}
  }

  function store(state) {
    try {
      sessionStorage.setItem(NAME, JSON.stringify(state));
    } catch {} // a page may be without storage
  }

  // Browsers scroll back by themselves, unless the page has told them not to.
  function scrollBack() {
    const state = stored();
    if (!state || state.href !== location.href || state.y === undefined) return;
    store({ id: state.id, href: state.href });
    const back = () => {
      if (!scrollX && !scrollY) scrollTo({ left: state.x, top: state.y, behavior: "instant" });
    };
    if (document.readyState === "complete") back();
    else addEventListener("load", () => setTimeout(back), { once: true });
  }

  // ---- What can be exchanged in the page

  // documents are this page and those in its frames, if of this origin.
  function* documents(w = window) {
    try {
      if (!w.document) return;
    } catch {
      return;
    }
    yield w.document;
    for (let i = 0; i < w.length; i++) yield* documents(w[i]);
  }

  // fileOf is the name of the file that a URL means, if it is of this origin.
  function fileOf(url, base) {
    try {
      const u = new URL(url, base);
      if (u.origin === location.origin) return decodeURIComponent(u.pathname.slice(u.pathname.lastIndexOf("/") + 1));
    } catch {}
  }

  // bust is a URL that the browser has not seen.
  function bust(url, id, base) {
    const u = new URL(url, base);
    const query = u.search.slice(1).split("&").filter((part) => part && !part.startsWith(NAME + "="));
    u.search = [...query, NAME + "=" + id].join("&");
    return u.href;
  }

  // renew has the browser's cache take the files anew: what a style sheet or a script imports has URLs that
  // do not change with it.
  async function renew(names) {
    const wanted = new Set(names);
    const urls = new Set();
    for (const page of documents()) {
      for (const entry of page.defaultView.performance.getEntriesByType("resource")) {
        if (wanted.has(fileOf(entry.name, page.baseURI))) urls.add(entry.name);
      }
    }
    const limit = AbortSignal.timeout ? { signal: AbortSignal.timeout(3000) } : {};
    await Promise.allSettled([...urls].map((url) => fetch(url, { cache: "reload", ...limit }).then((r) => r.blob())));
  }

  // rulesOf are a sheet's rules; none where it is of another origin, or has not come.
  function rulesOf(sheet) {
    try {
      return [...(sheet?.cssRules || [])];
    } catch {
      return [];
    }
  }

  // imports is whether a sheet imports one of the files, or another that does; of none: whether it imports any.
  function imports(sheet, files, page) {
    return rulesOf(sheet).some((rule) => rule instanceof page.defaultView.CSSImportRule &&
      (!files || files.has(fileOf(rule.href, page.baseURI)) || imports(rule.styleSheet, files, page)));
  }

  const replacing = new WeakMap(); // a link, and the one that will take its place

  function exchangeStyles(page, files, id) {
    const pending = new Set();
    const links = [...page.querySelectorAll("link[rel~=stylesheet i][href]")].filter((link) => {
      if (replacing.has(link)) pending.add(replacing.get(link));
      return fileOf(link.href, page.baseURI) !== undefined;
    }).filter((link) => !pending.has(link));
    const inline = [...page.querySelectorAll("style")];
    let old = [
      ...links.filter((link) => files.has(fileOf(link.href, page.baseURI)) || imports(link.sheet, files, page)),
      ...inline.filter((style) => imports(style.sheet, files, page)),
    ];
    // It may be part of any, by a way that cannot be seen: made by a program, served by another name.
    if (!old.length) old = [...links, ...inline.filter((style) => imports(style.sheet, undefined, page))];
    for (const sheet of old) {
      if (sheet.integrity) return reload(id); // the page knows what is in it
      if (sheet.localName === "link") exchangeLink(sheet, id);
      else sheet.replaceWith(sheet.cloneNode(true));
    }
  }

  // exchangeLink puts the new one in its place once it is there, so that the page is never without.
  function exchangeLink(link, id) {
    replacing.get(link)?.remove();
    const next = link.cloneNode();
    next.href = bust(link.href, id, link.baseURI);
    replacing.set(link, next);
    next.onload = () => link.remove();
    next.onerror = () => {
      next.remove();
      if (replacing.get(link) === next) replacing.delete(link);
    };
    link.after(next);
  }

  function exchangeImages(page, files, id) {
    const one = (url, base) => (files.has(fileOf(url, base)) ? bust(url, id, base) : url);
    const set = (text, base) => text.replace(/[^\s,]\S*[^\s,]/g, (url) => one(url, base)); // "a.png 1x, b.png 2x"
    for (const e of page.querySelectorAll("img, source, input[type=image i], video, image, use, link[rel~=icon i]")) {
      for (const [name, change] of [["src", one], ["srcset", set], ["href", one], ["poster", one]]) {
        const value = e.getAttribute(name);
        const changed = value && change(value, page.baseURI);
        if (changed && changed !== value) e.setAttribute(name, changed);
      }
    }
    const styled = (style, base) => {
      for (const name of [...style]) {
        const value = style.getPropertyValue(name);
        const changed = value.replace(/url\((['"]?)(.*?)\1\)/g, (_, quote, url) => `url(${quote}${one(url, base)}${quote})`);
        if (changed !== value) style.setProperty(name, changed, style.getPropertyPriority(name));
      }
    };
    for (const e of page.querySelectorAll('[style*="url("]')) styled(e.style, page.baseURI);
    const walk = (sheet, base) => {
      for (const rule of rulesOf(sheet)) {
        if (rule.style) styled(rule.style, base);
        if (rule.styleSheet) walk(rule.styleSheet, rule.styleSheet.href);
        else if (rule.cssRules) walk(rule, base);
      }
    };
    for (const sheet of page.styleSheets) walk(sheet, sheet.href || page.baseURI);
  }

  addEventListener("beforeunload", () => (leaving = Date.now()));
  addEventListener("submit", (event) => {
    if (!event.defaultPrevented) leaving = Date.now(); // the browser is about to begin
  });
  // A page that is left may come back as it was.
  addEventListener("pagehide", stop);
  addEventListener("pageshow", (event) => {
    if (event.persisted) start();
  });
  scrollBack();
  start();
})();
