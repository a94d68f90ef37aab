<?xml version="1.0" encoding="utf-8"?>
<!DOCTYPE TS>
<TS version="2.1" language="de" sourcelanguage="en">
<context>
    <name>CloseAll</name>
    <message>
        <source>Close all forwarded ports of all qubes? Connections through them are cut at once, and the forwards are removed for good.</source>
        <translation>Alle weitergeleiteten Ports aller Qubes schließen? Verbindungen darüber werden sofort getrennt und die Weiterleitungen endgültig entfernt.</translation>
    </message>
    <message>
        <source>Close everything</source>
        <translation>Alles schließen</translation>
    </message>
</context>
<context>
    <name>DurationBox</name>
    <message>
        <source>1 day</source>
        <translation>1 Tag</translation>
    </message>
    <message>
        <source>1 hour</source>
        <translation>1 Stunde</translation>
    </message>
    <message>
        <source>10 minutes</source>
        <translation>10 Minuten</translation>
    </message>
    <message>
        <source>2h30m, 18:30 or 2026-12-24 18:30</source>
        <translation>2h30m, 18:30 oder 2026-12-24 18:30</translation>
    </message>
    <message>
        <source>8 hours</source>
        <translation>8 Stunden</translation>
    </message>
    <message>
        <source>Other duration, or end</source>
        <translation>Andere Dauer oder anderes Ende</translation>
    </message>
    <message>
        <source>for good, until you remove it</source>
        <translation>dauerhaft, bis Sie es entfernen</translation>
    </message>
    <message>
        <source>other…</source>
        <translation>andere …</translation>
    </message>
    <message>
        <source>until this computer is restarted</source>
        <translation>bis zum Neustart dieses Computers</translation>
    </message>
    <message>
        <source>until {0}, as it is</source>
        <translation>bis {0}, wie bisher</translation>
    </message>
</context>
<context>
    <name>Exposures</name>
    <message>
        <source>Age</source>
        <translation>Alter</translation>
    </message>
    <message>
        <source>Last minutes</source>
        <translation>Letzte Minuten</translation>
    </message>
    <message>
        <source>No port is open now.</source>
        <translation>Zurzeit ist kein Port offen.</translation>
    </message>
    <message>
        <source>No port is open.</source>
        <translation>Kein Port ist offen.</translation>
    </message>
    <message>
        <source>One port is open.</source>
        <translation>Ein Port ist offen.</translation>
    </message>
    <message>
        <source>Qube and port</source>
        <translation>Qube und Port</translation>
    </message>
    <message>
        <source>Reaches</source>
        <translation>Reicht bis</translation>
    </message>
    <message>
        <source>The internet reaches {0}.</source>
        <translation>Aus dem Internet erreichbar: {0}.</translation>
    </message>
    <message>
        <source>Wanted, but not open: {0}.</source>
        <translation>Gewünscht, aber nicht offen: {0}.</translation>
    </message>
    <message>
        <source>internet</source>
        <translation>Internet</translation>
    </message>
    <message>
        <source>internet, if it can</source>
        <translation>Internet, wenn möglich</translation>
    </message>
    <message>
        <source>local (carrier's NAT)</source>
        <translation>lokal (NAT des Anbieters)</translation>
    </message>
    <message>
        <source>local (no router)</source>
        <translation>lokal (kein Router)</translation>
    </message>
    <message>
        <source>local (router says no)</source>
        <translation>lokal (Router lehnt ab)</translation>
    </message>
    <message>
        <source>local network</source>
        <translation>lokales Netz</translation>
    </message>
    <message>
        <source>other qubes</source>
        <translation>andere Qubes</translation>
    </message>
    <message>
        <source>other qubes, VPN</source>
        <translation>andere Qubes, VPN</translation>
    </message>
    <message>
        <source>{0} of {1} open</source>
        <translation>{0} von {1} offen</translation>
    </message>
    <message>
        <source>{0} ports of one qube are open.</source>
        <translation>{0} Ports eines Qubes sind offen.</translation>
    </message>
    <message>
        <source>{0} ports of {1} qubes are open.</source>
        <translation>{0} Ports von {1} Qubes sind offen.</translation>
    </message>
</context>
<context>
    <name>ExposuresTree</name>
    <message>
        <source>Open ports of this computer</source>
        <translation>Offene Ports dieses Computers</translation>
    </message>
</context>
<context>
    <name>FirewallPage</name>
    <message>
        <source>Close</source>
        <translation>Schließen</translation>
    </message>
    <message>
        <source>Outbound: what {0} may connect to</source>
        <translation>Ausgehend: wohin {0} sich verbinden darf</translation>
    </message>
    <message>
        <source>Port forwarding: who may connect to {0}</source>
        <translation>Portweiterleitung: wer sich mit {0} verbinden darf</translation>
    </message>
    <message>
        <source>The rules are not saved: {0}</source>
        <translation>Die Regeln sind nicht gespeichert: {0}</translation>
    </message>
    <message>
        <source>What is shown may be out of date, and nothing can be changed now: {0}. It is looked for all the time.</source>
        <translation>Das Gezeigte ist vielleicht veraltet, und zurzeit lässt sich nichts ändern: {0}. Die Verbindung wird laufend neu versucht.</translation>
    </message>
</context>
<context>
    <name>ForwardDialog</name>
    <message>
        <source>&amp;Wait until the port is free</source>
        <translation>Warten, bis der Port &amp;frei ist</translation>
    </message>
    <message>
        <source>Change</source>
        <translation>Ändern</translation>
    </message>
    <message>
        <source>Change a port of {0}</source>
        <translation>Einen Port von {0} ändern</translation>
    </message>
    <message>
        <source>Open a port of {0}</source>
        <translation>Einen Port von {0} öffnen</translation>
    </message>
    <message>
        <source>Open the port</source>
        <translation>Port öffnen</translation>
    </message>
    <message>
        <source>Something above cannot be read yet.</source>
        <translation>Eine Angabe oben ist noch nicht lesbar.</translation>
    </message>
    <message>
        <source>There is no tunnel now: until there is, only qubes can connect.</source>
        <translation>Zurzeit gibt es keinen Tunnel: bis dahin können sich nur Qubes verbinden.</translation>
    </message>
    <message>
        <source>To limit who, see the details.</source>
        <translation>Wer sich verbinden darf, lässt sich unter Details einschränken.</translation>
    </message>
    <message>
        <source>What will happen</source>
        <translation>Was geschehen wird</translation>
    </message>
    <message>
        <source>Which port do you want to open?</source>
        <translation>Welchen Port möchten Sie öffnen?</translation>
    </message>
</context>
<context>
    <name>ForwardForm</name>
    <message>
        <source>&amp;Port or service:</source>
        <translation>&amp;Port oder Dienst:</translation>
    </message>
    <message>
        <source>&amp;Who may connect:</source>
        <translation>Wer da&amp;rf sich verbinden:</translation>
    </message>
    <message>
        <source>Also for &amp;disposables made from it</source>
        <translation>Auch für &amp;Disposables, die daraus entstehen</translation>
    </message>
    <message>
        <source>Also from the &amp;internet: ask the router</source>
        <translation>Auch aus dem &amp;Internet: den Router bitten</translation>
    </message>
    <message>
        <source>C&amp;omment:</source>
        <translation>K&amp;ommentar:</translation>
    </message>
    <message>
        <source>De&amp;tails</source>
        <translation>De&amp;tails</translation>
    </message>
    <message>
        <source>Even &amp;past a VPN's tunnel on the way</source>
        <translation>Auch am Tunnel eines VPN vor&amp;bei</translation>
    </message>
    <message>
        <source>For &amp;how long:</source>
        <translation>&amp;Wie lange:</translation>
    </message>
    <message>
        <source>Port i&amp;n {0}:</source>
        <translation>Port i&amp;n {0}:</translation>
    </message>
    <message>
        <source>Protocol</source>
        <translation>Protokoll</translation>
    </message>
    <message>
        <source>Share through this qube's &amp;VPN</source>
        <translation>Über das &amp;VPN dieses Qubes freigeben</translation>
    </message>
    <message>
        <source>Share with my &amp;local network</source>
        <translation>Im &amp;lokalen Netz freigeben</translation>
    </message>
    <message>
        <source>Share with other &amp;qubes here</source>
        <translation>Für andere &amp;Qubes hier freigeben</translation>
    </message>
    <message>
        <source>anyone; or 192.0.2.7, 192.0.2.0/24</source>
        <translation>alle; oder 192.0.2.7, 192.0.2.0/24</translation>
    </message>
    <message>
        <source>computers and phones near this one</source>
        <translation>Computer und Telefone in der Nähe</translation>
    </message>
    <message>
        <source>https, 8080 or 8000-8010</source>
        <translation>https, 8080 oder 8000-8010</translation>
    </message>
    <message>
        <source>the same</source>
        <translation>derselbe</translation>
    </message>
    <message>
        <source>those that have the same networking qube</source>
        <translation>solche mit demselben Netz-Qube</translation>
    </message>
    <message>
        <source>whoever is at the other end of its tunnel</source>
        <translation>wer am anderen Ende seines Tunnels ist</translation>
    </message>
</context>
<context>
    <name>Forwards</name>
    <message>
        <source>Comment</source>
        <translation>Kommentar</translation>
    </message>
    <message>
        <source>From</source>
        <translation>Von</translation>
    </message>
    <message>
        <source>Origin</source>
        <translation>Herkunft</translation>
    </message>
    <message>
        <source>Port</source>
        <translation>Port</translation>
    </message>
    <message>
        <source>Protocol</source>
        <translation>Protokoll</translation>
    </message>
    <message>
        <source>State</source>
        <translation>Zustand</translation>
    </message>
    <message>
        <source>Traffic</source>
        <translation>Verkehr</translation>
    </message>
    <message>
        <source>Until</source>
        <translation>Bis</translation>
    </message>
    <message>
        <source>Who</source>
        <translation>Wer</translation>
    </message>
    <message>
        <source>a program</source>
        <translation>ein Programm</translation>
    </message>
    <message>
        <source>internet</source>
        <translation>Internet</translation>
    </message>
    <message>
        <source>local network</source>
        <translation>lokales Netz</translation>
    </message>
    <message>
        <source>other qubes</source>
        <translation>andere Qubes</translation>
    </message>
    <message>
        <source>restart</source>
        <translation>Neustart</translation>
    </message>
    <message>
        <source>you</source>
        <translation>Sie</translation>
    </message>
    <message>
        <source>you remove it</source>
        <translation>Sie es entfernen</translation>
    </message>
</context>
<context>
    <name>ForwardsPane</name>
    <message>
        <source>1 day</source>
        <translation>1 Tag</translation>
    </message>
    <message>
        <source>1 hour</source>
        <translation>1 Stunde</translation>
    </message>
    <message>
        <source>10 minutes</source>
        <translation>10 Minuten</translation>
    </message>
    <message>
        <source>8 hours</source>
        <translation>8 Stunden</translation>
    </message>
    <message>
        <source>Change the forwarded port</source>
        <translation>Den weitergeleiteten Port ändern</translation>
    </message>
    <message>
        <source>Change…</source>
        <translation>Ändern …</translation>
    </message>
    <message>
        <source>Duplicate the forwarded port</source>
        <translation>Den weitergeleiteten Port kopieren</translation>
    </message>
    <message>
        <source>Duplicate…</source>
        <translation>Kopieren …</translation>
    </message>
    <message>
        <source>No port of {0} is open: nobody can connect to it.</source>
        <translation>Kein Port von {0} ist offen: niemand kann sich damit verbinden.</translation>
    </message>
    <message>
        <source>Nothing can be opened: {0}</source>
        <translation>Es lässt sich nichts öffnen: {0}</translation>
    </message>
    <message>
        <source>Open a port…</source>
        <translation>Port öffnen …</translation>
    </message>
    <message>
        <source>Open for</source>
        <translation>Öffnen für</translation>
    </message>
    <message>
        <source>Open the port for a time</source>
        <translation>Den Port für eine Zeit öffnen</translation>
    </message>
    <message>
        <source>Remove</source>
        <translation>Entfernen</translation>
    </message>
    <message>
        <source>Remove the forwarded ports</source>
        <translation>Die weitergeleiteten Ports entfernen</translation>
    </message>
    <message>
        <source>Rules that cannot be read, and are not used: {0}</source>
        <translation>Nicht lesbare Regeln, die nicht angewandt werden: {0}</translation>
    </message>
    <message>
        <source>These ports were opened for the qube that this one is a copy of. They are closed here until you say otherwise.</source>
        <translation>Diese Ports wurden für den Qube geöffnet, von dem dieser eine Kopie ist. Hier sind sie geschlossen, bis Sie es anders bestimmen.</translation>
    </message>
    <message>
        <source>Use them here</source>
        <translation>Hier verwenden</translation>
    </message>
    <message>
        <source>for good</source>
        <translation>dauerhaft</translation>
    </message>
    <message>
        <source>until this computer is restarted</source>
        <translation>bis zum Neustart dieses Computers</translation>
    </message>
</context>
<context>
    <name>ForwardsTable</name>
    <message>
        <source>Forwarded ports</source>
        <translation>Weitergeleitete Ports</translation>
    </message>
</context>
<context>
    <name>Log</name>
    <message>
        <source>added</source>
        <translation>hinzugefügt</translation>
    </message>
    <message>
        <source>call denied</source>
        <translation>Aufruf abgelehnt</translation>
    </message>
    <message>
        <source>changed</source>
        <translation>geändert</translation>
    </message>
    <message>
        <source>closed</source>
        <translation>geschlossen</translation>
    </message>
    <message>
        <source>copy confirmed</source>
        <translation>Kopie bestätigt</translation>
    </message>
    <message>
        <source>declined</source>
        <translation>abgelehnt</translation>
    </message>
    <message>
        <source>events lost</source>
        <translation>Ereignisse verloren</translation>
    </message>
    <message>
        <source>found open</source>
        <translation>offen vorgefunden</translation>
    </message>
    <message>
        <source>granted</source>
        <translation>gewährt</translation>
    </message>
    <message>
        <source>opened</source>
        <translation>geöffnet</translation>
    </message>
    <message>
        <source>perhaps open</source>
        <translation>vielleicht offen</translation>
    </message>
    <message>
        <source>program asks</source>
        <translation>Programm fragt</translation>
    </message>
    <message>
        <source>refused</source>
        <translation>verweigert</translation>
    </message>
    <message>
        <source>removed</source>
        <translation>entfernt</translation>
    </message>
    <message>
        <source>service started</source>
        <translation>Dienst gestartet</translation>
    </message>
    <message>
        <source>service stopped</source>
        <translation>Dienst beendet</translation>
    </message>
    <message>
        <source>time is over</source>
        <translation>Zeit abgelaufen</translation>
    </message>
</context>
<context>
    <name>LogModel</name>
    <message>
        <source>Details</source>
        <translation>Einzelheiten</translation>
    </message>
    <message>
        <source>Event</source>
        <translation>Ereignis</translation>
    </message>
    <message>
        <source>Forward</source>
        <translation>Weiterleitung</translation>
    </message>
    <message>
        <source>Qube</source>
        <translation>Qube</translation>
    </message>
    <message>
        <source>Time</source>
        <translation>Zeit</translation>
    </message>
</context>
<context>
    <name>LogTable</name>
    <message>
        <source>Audit log</source>
        <translation>Protokoll</translation>
    </message>
</context>
<context>
    <name>OutboundDialog</name>
    <message>
        <source>&amp;Comment:</source>
        <translation>&amp;Kommentar:</translation>
    </message>
    <message>
        <source>&amp;Protocol:</source>
        <translation>&amp;Protokoll:</translation>
    </message>
    <message>
        <source>&amp;Service or port:</source>
        <translation>&amp;Dienst oder Port:</translation>
    </message>
    <message>
        <source>A&amp;ddress:</source>
        <translation>&amp;Adresse:</translation>
    </message>
    <message>
        <source>Add a rule</source>
        <translation>Regel hinzufügen</translation>
    </message>
    <message>
        <source>Edit the rule</source>
        <translation>Regel bearbeiten</translation>
    </message>
    <message>
        <source>any</source>
        <translation>beliebig</translation>
    </message>
    <message>
        <source>example.org, 192.0.2.0/24; empty: any</source>
        <translation>example.org, 192.0.2.0/24; leer: beliebig</translation>
    </message>
    <message>
        <source>https, 443, 8000-8010; empty: any</source>
        <translation>https, 443, 8000-8010; leer: beliebig</translation>
    </message>
</context>
<context>
    <name>OutboundForm</name>
    <message>
        <source> minutes</source>
        <translation> Minuten</translation>
    </message>
    <message>
        <source>&amp;Deny all outgoing connections except</source>
        <translation>Alle ausgehenden Verbindungen &amp;verbieten außer</translation>
    </message>
    <message>
        <source>&amp;Full access for</source>
        <translation>V&amp;oller Zugriff für</translation>
    </message>
    <message>
        <source>&amp;Full access until {0}</source>
        <translation>V&amp;oller Zugriff bis {0}</translation>
    </message>
    <message>
        <source>A&amp;llow all outgoing connections except</source>
        <translation>Alle ausgehenden Verbindungen &amp;erlauben außer</translation>
    </message>
    <message>
        <source>Add an outbound rule</source>
        <translation>Eine ausgehende Regel hinzufügen</translation>
    </message>
    <message>
        <source>Address</source>
        <translation>Adresse</translation>
    </message>
    <message>
        <source>Add…</source>
        <translation>Hinzufügen …</translation>
    </message>
    <message>
        <source>Allow D&amp;NS</source>
        <translation>D&amp;NS erlauben</translation>
    </message>
    <message>
        <source>Allow p&amp;ing</source>
        <translation>P&amp;ing erlauben</translation>
    </message>
    <message>
        <source>Comment</source>
        <translation>Kommentar</translation>
    </message>
    <message>
        <source>Edit the outbound rule</source>
        <translation>Die ausgehende Regel bearbeiten</translation>
    </message>
    <message>
        <source>Edit…</source>
        <translation>Bearbeiten …</translation>
    </message>
    <message>
        <source>Exceptions</source>
        <translation>Ausnahmen</translation>
    </message>
    <message>
        <source>Minutes of full access</source>
        <translation>Minuten vollen Zugriffs</translation>
    </message>
    <message>
        <source>Port</source>
        <translation>Port</translation>
    </message>
    <message>
        <source>Protocol</source>
        <translation>Protokoll</translation>
    </message>
    <message>
        <source>Remove</source>
        <translation>Entfernen</translation>
    </message>
    <message>
        <source>Remove the outbound rule</source>
        <translation>Die ausgehende Regel entfernen</translation>
    </message>
    <message>
        <source>Until</source>
        <translation>Bis</translation>
    </message>
</context>
<context>
    <name>OutboundList</name>
    <message>
        <source>Action</source>
        <translation>Aktion</translation>
    </message>
    <message>
        <source>Address</source>
        <translation>Adresse</translation>
    </message>
    <message>
        <source>Comment</source>
        <translation>Kommentar</translation>
    </message>
    <message>
        <source>Outbound rules, to be read only</source>
        <translation>Ausgehende Regeln, nur zum Lesen</translation>
    </message>
    <message>
        <source>Port</source>
        <translation>Port</translation>
    </message>
    <message>
        <source>Protocol</source>
        <translation>Protokoll</translation>
    </message>
    <message>
        <source>Until</source>
        <translation>Bis</translation>
    </message>
    <message>
        <source>allow</source>
        <translation>erlauben</translation>
    </message>
    <message>
        <source>deny</source>
        <translation>verbieten</translation>
    </message>
</context>
<context>
    <name>OutboundPane</name>
    <message>
        <source>Keep mine</source>
        <translation>Meine behalten</translation>
    </message>
    <message>
        <source>Show the new rules</source>
        <translation>Die neuen Regeln zeigen</translation>
    </message>
    <message>
        <source>The outbound rules were changed by somebody else meanwhile, to {0}. You have changes of your own here that are not saved.</source>
        <translation>Die ausgehenden Regeln wurden inzwischen anderswo geändert, in {0}. Sie haben hier eigene Änderungen, die nicht gespeichert sind.</translation>
    </message>
    <message>
        <source>These rules were made with other tools, and are more than this form can show. They hold, and are not changed here; change them with qvm-firewall.</source>
        <translation>Diese Regeln stammen von anderen Werkzeugen und sind mehr, als dieses Formular zeigen kann. Sie gelten und werden hier nicht geändert; ändern Sie sie mit qvm-firewall.</translation>
    </message>
    <message>
        <source>one rule</source>
        <translation>eine Regel</translation>
    </message>
    <message>
        <source>{0} rules</source>
        <translation>{0} Regeln</translation>
    </message>
</context>
<context>
    <name>Overview</name>
    <message>
        <source>&amp;Log</source>
        <translation>&amp;Protokoll</translation>
    </message>
    <message>
        <source>&amp;Open ports</source>
        <translation>&amp;Offene Ports</translation>
    </message>
    <message>
        <source>All</source>
        <translation>Alle</translation>
    </message>
    <message>
        <source>Asked for by programs</source>
        <translation>Von Programmen erbeten</translation>
    </message>
    <message>
        <source>Choose a port to see who reaches it, and by which way.</source>
        <translation>Wählen Sie einen Port, um zu sehen, wer ihn auf welchem Weg erreicht.</translation>
    </message>
    <message>
        <source>Close</source>
        <translation>Schließen</translation>
    </message>
    <message>
        <source>Close everything…</source>
        <translation>Alles schließen …</translation>
    </message>
    <message>
        <source>Close the chosen</source>
        <translation>Ausgewählte schließen</translation>
    </message>
    <message>
        <source>Find</source>
        <translation>Suchen</translation>
    </message>
    <message>
        <source>Find a qube, port, address, comment…</source>
        <translation>Qube, Port, Adresse, Kommentar suchen …</translation>
    </message>
    <message>
        <source>Firewall of the qube…</source>
        <translation>Firewall des Qubes …</translation>
    </message>
    <message>
        <source>For the internet</source>
        <translation>Für das Internet</translation>
    </message>
    <message>
        <source>Nothing can be opened: {0}</source>
        <translation>Es lässt sich nichts öffnen: {0}</translation>
    </message>
    <message>
        <source>Open now</source>
        <translation>Jetzt offen</translation>
    </message>
    <message>
        <source>Open ports</source>
        <translation>Offene Ports</translation>
    </message>
    <message>
        <source>The log cannot be written: {0}</source>
        <translation>Das Protokoll lässt sich nicht schreiben: {0}</translation>
    </message>
    <message>
        <source>There is more, and older, in the file.</source>
        <translation>Mehr und Älteres steht in der Datei.</translation>
    </message>
    <message>
        <source>Wanted, but not open</source>
        <translation>Gewünscht, aber nicht offen</translation>
    </message>
    <message>
        <source>What is shown may be out of date, and nothing can be changed now: {0}. It is looked for all the time.</source>
        <translation>Das Gezeigte ist vielleicht veraltet, und zurzeit lässt sich nichts ändern: {0}. Die Verbindung wird laufend neu versucht.</translation>
    </message>
    <message>
        <source>Which are shown</source>
        <translation>Welche gezeigt werden</translation>
    </message>
</context>
<context>
    <name>PathPicture</name>
    <message>
        <source>Path of the forward</source>
        <translation>Weg der Weiterleitung</translation>
    </message>
    <message>
        <source>Pictures (*.svg *.png)</source>
        <translation>Bilder (*.svg *.png)</translation>
    </message>
    <message>
        <source>Save the picture</source>
        <translation>Bild speichern</translation>
    </message>
    <message>
        <source>Save the picture…</source>
        <translation>Bild speichern …</translation>
    </message>
    <message>
        <source>The picture cannot be written there.</source>
        <translation>Das Bild lässt sich dort nicht schreiben.</translation>
    </message>
</context>
<context>
    <name>PathView</name>
    <message>
        <source>About the chosen place</source>
        <translation>Über die gewählte Stelle</translation>
    </message>
</context>
<context>
    <name>PortmapBox</name>
    <message>
        <source>&amp;NAT traversal: programs that ask for ports</source>
        <translation>&amp;NAT-Durchquerung: Programme, die um Ports bitten</translation>
    </message>
    <message>
        <source>Allow</source>
        <translation>Erlauben</translation>
    </message>
    <message>
        <source>Ask me each time</source>
        <translation>Jedes Mal fragen</translation>
    </message>
    <message>
        <source>NAT traversal</source>
        <translation>NAT-Durchquerung</translation>
    </message>
    <message>
        <source>Off: they get none</source>
        <translation>Aus: sie bekommen keine</translation>
    </message>
    <message>
        <source>Open for programs now: {0}</source>
        <translation>Zurzeit offen für Programme: {0}</translation>
    </message>
    <message>
        <source>also from the in&amp;ternet</source>
        <translation>auch aus dem In&amp;ternet</translation>
    </message>
</context>
<context>
    <name>Prompt</name>
    <message>
        <source>Every device of the local network, and the whole internet if your router agrees.</source>
        <translation>Jedes Gerät im lokalen Netz, und das ganze Internet, wenn Ihr Router zustimmt.</translation>
    </message>
    <message>
        <source>Every device of the local network.</source>
        <translation>Jedes Gerät im lokalen Netz.</translation>
    </message>
    <message>
        <source>May others connect to port {0} ({1}) of {2}?</source>
        <translation>Dürfen andere sich mit Port {0} ({1}) von {2} verbinden?</translation>
    </message>
    <message>
        <source>One more question waits.</source>
        <translation>Eine weitere Frage wartet.</translation>
    </message>
    <message>
        <source>Without an answer: no, in {0} s.</source>
        <translation>Ohne Antwort: nein, in {0} s.</translation>
    </message>
    <message>
        <source>any that is free</source>
        <translation>irgendein freier</translation>
    </message>
    <message>
        <source>{0} if that is free</source>
        <translation>{0}, wenn er frei ist</translation>
    </message>
    <message>
        <source>{0} more questions wait.</source>
        <translation>{0} weitere Fragen warten.</translation>
    </message>
</context>
<context>
    <name>PromptWindow</name>
    <message>
        <source>A program asks for a port</source>
        <translation>Ein Programm bittet um einen Port</translation>
    </message>
    <message>
        <source>Allow all until restart</source>
        <translation>Alle bis zum Neustart</translation>
    </message>
    <message>
        <source>Allow this port</source>
        <translation>Diesen Port erlauben</translation>
    </message>
    <message>
        <source>Always allow all</source>
        <translation>Alle, immer</translation>
    </message>
    <message>
        <source>Asked by:</source>
        <translation>Gefragt über:</translation>
    </message>
    <message>
        <source>Deny</source>
        <translation>Ablehnen</translation>
    </message>
    <message>
        <source>Label: {0}</source>
        <translation>Farbe: {0}</translation>
    </message>
    <message>
        <source>Never ask again</source>
        <translation>Nie wieder fragen</translation>
    </message>
    <message>
        <source>No, and programs of this qube get no ports at all</source>
        <translation>Nein, und Programme dieses Qubes bekommen gar keine Ports</translation>
    </message>
    <message>
        <source>No; this qube may ask again after a while</source>
        <translation>Nein; dieser Qube darf nach einer Weile wieder fragen</translation>
    </message>
    <message>
        <source>Nobody vouches for what a program calls itself</source>
        <translation>Niemand bürgt dafür, wie ein Programm sich nennt</translation>
    </message>
    <message>
        <source>Outer port:</source>
        <translation>Äußerer Port:</translation>
    </message>
    <message>
        <source>The program's own words:</source>
        <translation>Das Programm selbst sagt:</translation>
    </message>
    <message>
        <source>This port only, for as long as the program keeps it</source>
        <translation>Nur diesen Port, solange das Programm ihn behält</translation>
    </message>
    <message>
        <source>Time left</source>
        <translation>Verbleibende Zeit</translation>
    </message>
    <message>
        <source>Whatever programs of this qube ask for, for good</source>
        <translation>Alles, worum Programme dieses Qubes bitten, dauerhaft</translation>
    </message>
    <message>
        <source>Whatever programs of this qube ask for, until this computer restarts</source>
        <translation>Alles, worum Programme dieses Qubes bitten, bis zum Neustart dieses Computers</translation>
    </message>
    <message>
        <source>Who could connect:</source>
        <translation>Wer sich verbinden könnte:</translation>
    </message>
    <message>
        <source>none</source>
        <translation>nichts</translation>
    </message>
</context>
<context>
    <name>SettingsWindow</name>
    <message>
        <source>&amp;Firewall rules</source>
        <translation>&amp;Firewall-Regeln</translation>
    </message>
    <message>
        <source>Settings: {0}</source>
        <translation>Einstellungen: {0}</translation>
    </message>
    <message>
        <source>The outbound rules have changes that are not saved.</source>
        <translation>Die ausgehenden Regeln haben Änderungen, die nicht gespeichert sind.</translation>
    </message>
</context>
<context>
    <name>State</name>
    <message>
        <source>no way</source>
        <translation>kein Weg</translation>
    </message>
    <message>
        <source>not confirmed</source>
        <translation>nicht bestätigt</translation>
    </message>
    <message>
        <source>open</source>
        <translation>offen</translation>
    </message>
    <message>
        <source>open, no service</source>
        <translation>offen, kein Dienst</translation>
    </message>
    <message>
        <source>opening…</source>
        <translation>wird geöffnet …</translation>
    </message>
    <message>
        <source>opening… {0} of {1}</source>
        <translation>wird geöffnet … {0} von {1}</translation>
    </message>
    <message>
        <source>over</source>
        <translation>vorbei</translation>
    </message>
    <message>
        <source>port taken</source>
        <translation>Port belegt</translation>
    </message>
    <message>
        <source>refused</source>
        <translation>verweigert</translation>
    </message>
    <message>
        <source>waiting</source>
        <translation>wartet</translation>
    </message>
</context>
<context>
    <name>Tray</name>
    <message>
        <source>Close everything…</source>
        <translation>Alles schließen …</translation>
    </message>
    <message>
        <source>Close its ports</source>
        <translation>Seine Ports schließen</translation>
    </message>
    <message>
        <source>Firewall of this qube…</source>
        <translation>Firewall dieses Qubes …</translation>
    </message>
    <message>
        <source>It is not known what is open: the service does not answer.</source>
        <translation>Es ist nicht bekannt, was offen ist: der Dienst antwortet nicht.</translation>
    </message>
    <message>
        <source>Open ports…</source>
        <translation>Offene Ports …</translation>
    </message>
    <message>
        <source>{0} (not open)</source>
        <translation>{0} (nicht offen)</translation>
    </message>
    <message>
        <source>{0} more…</source>
        <translation>{0} weitere …</translation>
    </message>
</context>
<context>
    <name>Words</name>
    <message>
        <source>Internet</source>
        <translation>Internet</translation>
    </message>
    <message>
        <source>Local network</source>
        <translation>Lokales Netz</translation>
    </message>
    <message>
        <source>Other qubes</source>
        <translation>Andere Qubes</translation>
    </message>
    <message>
        <source>Router</source>
        <translation>Router</translation>
    </message>
    <message>
        <source>any qube</source>
        <translation>alle Qubes</translation>
    </message>
    <message>
        <source>any qube (IPv4)</source>
        <translation>alle Qubes (IPv4)</translation>
    </message>
    <message>
        <source>any qube (IPv6)</source>
        <translation>alle Qubes (IPv6)</translation>
    </message>
    <message>
        <source>anyone</source>
        <translation>alle</translation>
    </message>
    <message>
        <source>anyone (IPv4)</source>
        <translation>alle (IPv4)</translation>
    </message>
    <message>
        <source>anyone (IPv6)</source>
        <translation>alle (IPv6)</translation>
    </message>
    <message>
        <source>expired</source>
        <translation>abgelaufen</translation>
    </message>
    <message>
        <source>no way</source>
        <translation>kein Weg</translation>
    </message>
    <message>
        <source>not confirmed</source>
        <translation>nicht bestätigt</translation>
    </message>
    <message>
        <source>open</source>
        <translation>offen</translation>
    </message>
    <message>
        <source>port</source>
        <translation>Port</translation>
    </message>
    <message>
        <source>port is taken</source>
        <translation>Port belegt</translation>
    </message>
    <message>
        <source>refused</source>
        <translation>verweigert</translation>
    </message>
    <message>
        <source>waiting</source>
        <translation>wartet</translation>
    </message>
</context>
</TS>
